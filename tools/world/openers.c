/* openers.c — what people put around a question: openers for direct questions (D), noun phrases (N) and embedded
 * questions (E), and closers.  '@' is the place of the question; a line decides its own mark.
 * SPDX-License-Identifier: Apache-2.0 */
#include "tools/world/world.h"

static struct forms opener_table[N_OPENER_SET][2] = {
    [OPENER_D] = { { { "Tell me, @?", "Please tell me: @?", "Quick question: @?", "One question: @?", "I have a question: @?", "My question is: @?", "Hello, @?", "Hi, @?", "So @?",
        "And @?", "Say, @?", "Now, @?", "Well, @?", "Excuse me, @?", "Do you know: @?", "I wonder: @?", "Can you help me: @?", "Let me ask: @?", "Just curious: @?", "For a quiz: @?",
        "Here is a question: @?", "I ask you: @?", "Please answer: @?", "Answer this: @?", "Question: @?", "Q: @?", "By the way, @?", "Then @?", "Good morning, @?", "Sorry, but @?",
        "Maybe you know: @?", "Next: @?", "To your knowledge, @?", "As far as you know, @?", "Another one: @?", "Okay, @?", "Dear assistant, @?", "Let us see: @?", "What do you think, @?",
        "I was asked: @?", "A small question: @?", "Help me, @?", "Hey, @?", "Good evening, @?", "First question: @?", "Can you answer this: @?", "I need an answer: @?", "Be honest, @?", "Please, @?",
        "Could you answer: @?", "Think about this: @?", "Do you remember: @?", "What would you say, @?", "But @?", "Once more: @?", "Try this one: @?", "My friend asks: @?", "An easy one: @?", "Something else: @?" }, 0 },
      { { "Enlighten me: @?", "Settle a bet for us, @?", "My homework wants this: @?", "Between you and me, @?", "The form in front of me asks: @?", "Out of pure interest, @?", "For the newspaper puzzle, @?",
        "Grandmother would love to hear it: @?" }, 0 } },
    [OPENER_N] = { { { "What is @?", "What is @?", "What's @?", "Tell me @.", "Please tell me @.", "Name @.", "Please name @.", "Give me @.", "Please give me @.", "State @.", "I need @.", "I would like to know @.", "I want to know @.",
        "Can you tell me @?", "Could you tell me @?", "Can you give me @?", "Could you name @?", "Would you tell me @?", "Do you know @?", "I am looking for @.", "I'm looking for @.", "Let me know @.", "Say @.",
        "Write down @.", "Show me @.", "Find @.", "Look up @.", "I wonder about @.", "What do you know about @?", "I'd like to hear @.", "Do you remember @?", "Can you name @?", "Please state @.", "Give @.",
        "Inform me about @.", "I forgot @.", "Help me find @.", "I must know @.", "My question is about @.", "@?", "@, please.", "Please, @.", "I have to find @.", "Remind me of @.", "Tell us @.", "I ask for @.",
        "Mention @.", "Do you have @?", "Are you able to name @?", "What would be @?", "I should like to have @.", "Please find @.", "Could you look up @?", "I don't know @.", "I am interested in @." }, 0 },
      { { "Enlighten me about @.", "Kindly reveal @.", "My notes lack @.", "Fill the gap in my table with @.", "The form in front of me asks for @.", "Be so good as to dictate @.", "Whisper @ to me.", "A visitor enquired about @." }, 0 } },
    [OPENER_E] = { { { "Do you know @?", "Do you know @?", "Can you tell me @?", "Could you tell me @?", "Tell me @.", "Please tell me @.", "I would like to know @.", "I want to know @.", "I wonder @.", "Let me know @.", "Say @.",
        "Would you tell me @?", "I'd like to know @.", "Do you happen to know @?", "Can you say @?", "Have you any idea @?", "Do you remember @?", "Please let me know @.", "I need to know @.", "I am asking myself @.",
        "I don't remember @.", "Are you able to say @?", "Is it known @?", "I'd love to know @.", "Could you please tell me @?", "Explain @.", "State @.", "I'm interested in knowing @.", "It is not clear to me @.",
        "Please say @.", "I have forgotten @.", "Can you find out @?", "Will you tell me @?", "Would you happen to know @?", "I was wondering @.", "Tell us @.", "Please explain @.", "I have to know @.", "I am not sure @.",
        "Someone asked me @.", "I'd be glad to know @.", "Find out @.", "Help me to find out @.", "My question is @.", "Could you explain @?", "You surely know @." }, 0 },
      { { "Enlighten me as to @.", "We were arguing over @.", "Kindly reveal @.", "My notes fail to show @.", "Nobody at the table could recall @.", "A visitor enquired @.", "The exam paper demands @.", "Satisfy my curiosity and reveal @." }, 0 } },
};

void openers_init(void)
{
    for (int s = 0; s < N_OPENER_SET; s++)
        for (int k = 0; k < 2; k++)
            while (opener_table[s][k].n < FORMS_MAX && opener_table[s][k].v[opener_table[s][k].n])
                opener_table[s][k].n++;
}

const struct forms *openers(enum opener_set s, int reserved) { return &opener_table[s][reserved]; }

const char *closer_pick(struct rng *r)
{
    static const char *const closer[] = { "Thanks.", "Thank you.", "Please answer briefly.", "Please be brief.", "A short answer is enough.", "Just the answer.", "Please.", "I need it for a quiz.", "I am curious.",
        "It is for a friend.", "Thanks in advance!", "Any idea?", "Do you know it?", "I forgot it.", "Help me.", "Be precise.", "I can't remember.", "Only the answer, please.", "Keep it short.", "That is my question.",
        "Please help.", "I would be grateful.", "It is important.", "Tell me.", "One short answer.", "Thank you very much.", "I really want to know." };
    return closer[rng_below(r, ARRAY_LEN(closer))];
}
