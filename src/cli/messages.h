/* messages.h — internal to src/cli: what the program says, in other languages.
 *
 * A message is written in English where it is printed, in tr("…"); that text is its name in the table of messages.c, so the
 * compiler still checks what a format takes. What is not in the table stays English. Texts that scripts may read (--json,
 * --compat, log lines, verdicts of diff) are not translated.  SPDX-License-Identifier: Apache-2.0 */
#ifndef ILAB_CLI_MESSAGES_H
#define ILAB_CLI_MESSAGES_H

const char *tr(const char *english) __attribute__((format_arg(1)));
/* ILAB_LANG, else LC_ALL, LC_MESSAGES, LANG; plain: English whatever they say. */
void messages_init(int plain);
struct message { const char *english, *german; };
extern const struct message MESSAGES[];
extern const int N_MESSAGES;

#endif
