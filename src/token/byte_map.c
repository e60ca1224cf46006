/* byte_map.c — GPT-2's reversible map between bytes and printable characters.
 *
 * Radford et al. 2019 write byte-level vocabularies as text: the printable bytes of Latin-1 stand for
 * themselves, the 68 others get the characters U+0100, U+0101, … in byte order.
 * SPDX-License-Identifier: Apache-2.0 */
#include "token/token_internal.h"

static int is_printable(unsigned b) { return (b >= 0x21 && b <= 0x7e) || (b >= 0xa1 && b <= 0xac) || b >= 0xae; }

uint32_t byte_map_char(uint8_t b)
{
    uint32_t shifted = 0x100;

    if (is_printable(b))
        return b;
    for (unsigned i = 0; i < b; i++)
        shifted += !is_printable(i);
    return shifted;
}

int byte_map_byte(int32_t cp)
{
    int k = cp - 0x100;

    if (cp < 0 || cp >= 0x100 + 68)
        return -1;
    if (cp < 0x100)
        return is_printable((unsigned)cp) ? cp : -1;
    for (unsigned b = 0; b < 256; b++)
        if (!is_printable(b) && k-- == 0)
            return (int)b;
    return -1;
}
