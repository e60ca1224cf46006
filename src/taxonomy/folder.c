/* folder.c — what must be right around a qna.yaml: its name, the folders on the way to it, attribution.txt beside it.
 *
 * The taxonomy's own checks ask for these (instructlab-reference §2.1, §2.7), the reference's commands do not: warnings.
 * SPDX-License-Identifier: Apache-2.0 */
#include "taxonomy/internal.h"

#include <string.h>
#include <strings.h>

enum { MAX_ATTRIBUTION = 1 << 20 };

const char *root_of(const char *file, int *knowledge)
{
    struct sv rest = sv_of(file), part;
    const char *found = NULL;
    while (sv_split(&rest, '/', &part)) {
        if (!rest.n) break; /* the file's own name */
        const int k = sv_eq_c(part, "knowledge");
        if (!k && !sv_eq_c(part, "compositional_skills")) continue;
        found = part.p;
        *knowledge = k;
    }
    return found;
}

int is_knowledge(const char *file, const struct yaml_node *root)
{
    static const char *const OF_KNOWLEDGE[] = { "document", "document_outline", "domain" };
    int knowledge = 0;
    if (root_of(file, &knowledge)) return knowledge;
    for (size_t i = 0; i < sizeof OF_KNOWLEDGE / sizeof *OF_KNOWLEDGE; i++)
        if (yaml_get(root, OF_KNOWLEDGE[i])) return 1;
    const struct yaml_node *seeds = yaml_get(root, "seed_examples");
    return seeds && seeds->kind == YAML_SEQ && seeds->n && yaml_get(seeds->item[0], "questions_and_answers") != NULL;
}

static void warn(struct findings *f, const char *rule, const char *remedy, const char *text)
{
    findings_add(f, (struct finding){ .line = 1, .col = 1, .where = "", .rule = rule, .text = text, .remedy = remedy });
}

static void check_names(struct findings *f, const char *file, const char *taxonomy)
{
    int knowledge;
    const char *from = root_of(file, &knowledge), *base = path_base(file);
    const size_t n = strlen(taxonomy);
    char text[300];
    if (strcmp(base, "qna.yaml")) {
        snprintf(text, sizeof text, "the file is named '%.200s'", base);
        warn(f, "file-name", "name it qna.yaml, in a folder of its own: later releases of InstructLab read no other name (`ilab taxonomy fix` does it)", text);
    }
    if (!from) {
        warn(f, "folder-name", "move it below knowledge/ or compositional_skills/", "the file lies in neither of the folders 'knowledge' and 'compositional_skills'");
        from = n < strlen(file) && !strncmp(file, taxonomy, n) ? file + n : base;
    }
    struct sv rest = sv_of(from), part;
    while (sv_split(&rest, '/', &part) && rest.n) {
        int odd = 0;
        for (size_t i = 0; i < part.n; i++) odd |= !((part.p[i] >= 'a' && part.p[i] <= 'z') || (part.p[i] >= '0' && part.p[i] <= '9') || strchr("_-.", part.p[i]));
        if (!odd || !part.n) continue;
        char name[120];
        text_printable(part, name, sizeof name);
        snprintf(text, sizeof text, "the folder '%s' has characters other than a-z, 0-9, '_', '-' and '.'", name);
        warn(f, "folder-name", "rename it: lower-case letters, digits and '_' work everywhere", text);
    }
}

static void check_attribution(struct findings *f, const char *file)
{
    static const struct { const char *field, *remedy; } FIELD[] = {
        { "Title of work", "add a line `Title of work: NAME`" }, { "Link to work", "add a line `Link to work: https://…`" }, { "Revision", "add a line `Revision: …`, the version or address of the text that was used" },
        { "License of the work", "add a line `License of the work: …` with its SPDX name, for example CC-BY-SA-4.0" }, { "Creator names", "add a line `Creator names: …`" },
    };
    char *folder = xstrdup(file), *slash = strrchr(folder, '/'), *text = NULL;
    if (slash) *slash = 0;
    char *path = path_join(slash ? folder : ".", "attribution.txt");
    size_t n = 0;
    if (file_exists(path) != 1) {
        warn(f, "attribution", "write down where the knowledge comes from: Title of work, Link to work, Revision, License of the work, Creator names, one a line", "The \"attribution.txt\" file does not exist or is not a file");
    } else if (!file_read(path, MAX_ATTRIBUTION, &text, &n, NULL)) {
        if (!sv_trim((struct sv){ text, n }).n) warn(f, "attribution", "write down where the knowledge comes from", "The \"attribution.txt\" file must be non-empty");
        for (size_t i = 0; sv_trim((struct sv){ text, n }).n && i < ARRAY_LEN(FIELD); i++) {
            struct sv rest = { text, n }, line;
            int found = 0;
            while (!found && sv_split(&rest, '\n', &line)) {
                const char *colon = memchr(line.p, ':', line.n);
                const struct sv name = sv_trim((struct sv){ line.p, colon ? (size_t)(colon - line.p) : 0 });
                found = name.n == strlen(FIELD[i].field) && !strncasecmp(name.p, FIELD[i].field, name.n) && sv_trim((struct sv){ colon + 1, line.n - (size_t)(colon + 1 - line.p) }).n;
            }
            if (found) continue;
            char message[120];
            snprintf(message, sizeof message, "attribution.txt has no '%s'", FIELD[i].field);
            warn(f, "attribution", FIELD[i].remedy, message);
        }
    }
    mem_free(text);
    mem_free(path);
    mem_free(folder);
}

void folder_check(struct findings *f, const char *file, const char *taxonomy, int version, unsigned what)
{
    if (what & FOLDER_NAMES) check_names(f, file, taxonomy);
    if (what & FOLDER_FILES && version > 1) check_attribution(f, file);
}
