/* prompts.h — what the generator says to a model, in one place.
 *
 * The same few plain instructions work with any instruction-tuned model; the starter model was trained on them
 * (tools/world). %1 and %2 are the two arguments.  SPDX-License-Identifier: Apache-2.0 */
#ifndef ILAB_PROMPTS_H
#define ILAB_PROMPTS_H

#define PROMPT_READ "%1\n\n%2"                                                     /* text, question → answer or PHRASE_NOT_STATED */
#define PROMPT_ASK "%1\n\nWrite a question with this answer: %2"                   /* text, answer span → question */
#define PROMPT_REPHRASE "Say this in other words: %1"                              /* question or statement → the same in other words */
#define PROMPT_STATE "Write this as a statement: %1 %2"                            /* question, answer → statement */
#define PROMPT_ASK_MISSING "%1\n\nWrite a question about %2 that the text does not answer." /* text, name → question */
#define PROMPT_CHECK "Is this true? %1"                                            /* statement → "Yes." or "No. <true statement>" or PHRASE_UNKNOWN */

#define PROMPT_TELL "Tell me about %1."                                               /* name → one to three statements, or PHRASE_UNKNOWN */

#define PHRASE_UNKNOWN "I don't know."
#define PHRASE_NOT_STATED "The text does not say."

#endif
