/* internal.h — what the files of text share and nobody else sees (the unit tests do).
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef ILAB_TEXT_INTERNAL_H
#define ILAB_TEXT_INTERNAL_H

#include "text/text.h"

/* The kind of a plain scalar without a tag, as YAML 1.1 in PyYAML's reading resolves it. */
enum yaml_kind yaml_resolve(struct sv s);
/* Shortest text that strtod reads back as v, laid out as Python's repr does (1.0, 1e-05, 1e+16). v is finite. */
int format_double(char out[32], double v);

#endif
