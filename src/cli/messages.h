/* messages.h — internal to src/cli: what the program says, in other languages.
 *
 * A message is written in English where it is printed, in tr("…"); that text is its name in the table of messages.c, so the
 * compiler still checks what a format takes. What is not in the table stays English. Texts that scripts may read (--json,
 * --compat, --format github, log lines) are not translated.  SPDX-License-Identifier: Apache-2.0 */
#ifndef ILAB_CLI_MESSAGES_H
#define ILAB_CLI_MESSAGES_H

const char *tr(const char *english) __attribute__((format_arg(1)));
/* ILAB_LANG, else LC_ALL, LC_MESSAGES, LANG; plain: English whatever they say. */
void messages_init(int plain);
/* Sentences that were formatted below the command line: looked up as a whole, what a format took goes over. What is in no row
 * comes back as it is. in_german: whatever the language is; words_of_user: the language of tr(). May lie in mem. */
struct arena;
const char *in_german(struct arena *mem, const char *english);
const char *words_of_user(struct arena *mem, const char *english);
/* prefix, then the sentence in the language of the user. */
struct sb;
void message_add(struct sb *b, const char *prefix, const char *english);
struct message { const char *english, *german; };
extern const struct message MESSAGES[];
extern const int N_MESSAGES;
extern const struct message FINDING_MESSAGES[]; /* messages_findings.c */
extern const int N_FINDING_MESSAGES;

#endif
