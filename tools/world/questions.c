#include "tools/world/world.h"
int questions_write(const char *path, const struct core *core, uint64_t seed, const char *kind, int n, ilab_err *err){(void)path;(void)core;(void)seed;(void)kind;(void)n;(void)err;return 1;}
int document_write(const char *dir, const struct core *core, int type, int lacking, uint64_t seed, ilab_err *err){(void)dir;(void)core;(void)seed;(void)type;(void)lacking;(void)err;return 1;}
int example_questions_write(const char *path, const struct core *core, uint64_t seed, ilab_err *err){(void)path;(void)core;(void)seed;(void)err;return 1;}
int heldout_check(const char *questions, const char *const *text, int n_text, ilab_err *err){(void)questions;(void)text;(void)n_text;(void)err;return 1;}
