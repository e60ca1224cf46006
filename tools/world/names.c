/* names.c — invented names without end, in several styles, and small changes of given names.
 *
 * Invariant: a generated word w has hash(lower(w)) mod 8 = 7 exactly when the partition is DOCUMENT, so no word of
 * the corpus's names can occur in a document's names.  Common parts ("University", "Bridge") are not names.
 * SPDX-License-Identifier: Apache-2.0 */
#include "tools/world/world.h"

#include <ctype.h>
#include <string.h>

enum { PARTS = 8, N_STYLE = 6 };
enum style { STYLE_GERMAN, STYLE_NORDIC, STYLE_ENGLISH, STYLE_ROMANCE, STYLE_SLAVIC, STYLE_FREE };

static const struct { const char *onset, *vowel, *coda, *town, *last, *first_m, *first_f; } style_table[N_STYLE] = {
    { "b|br|d|dr|f|fr|g|gr|h|k|kl|l|m|n|r|s|sch|schw|st|t|tr|w|z|kr|gl|pf|v|j", "a|e|i|o|u|ei|au|ie|ö|ü|ä|e|a|o|eu", "l|n|r|s|ll|nd|rn|rk|ch|ck|tt|lm|ss|hl|hr|ng|lt|ff|m|t|nz|b|d|g",
      "feld|burg|heim|stadt|hausen|dorf|au|berg|stein|bach|tal|hofen|rode|walde|brück|furt|ingen|kirchen|hafen|see|itz|born|weiler|lingen|münde|beck",
      "mann|er|ler|meier|hof|ke|ner|stein|bauer|ing|ich|ert|ner|berg|el|enbach|lich|hardt|mayer|holz|reuter|ig|z|kamp|brink",
      "bert|hard|mund|win|helm|o|fried|olf|mar|ger|us|ian|in", "hild|gard|lind|a|ine|ike|trud|e|ina|ela|run|ita" },
    { "b|br|bj|d|f|fj|g|h|hv|k|kj|l|m|n|r|s|sk|sv|st|t|th|tr|v|j|str|gr", "a|e|i|o|u|å|ø|y|ei|ö|ä|au|a|o", "l|n|r|s|ll|nd|rn|rk|k|g|st|lm|ld|v|ng|m|t|rd|ss|d",
      "vik|borg|sund|fors|by|lund|dal|näs|strand|holm|stad|havn|ö|moen|set|torp|berga|rud|nes|ås|köping|mark|vall|um",
      "sen|son|qvist|ström|berg|lund|gren|dal|stad|holm|vik|gaard|ness|blad|mo|sdottir|man|heim|lind|rud|bø|skov",
      "ar|ulf|mund|e|ik|vard|in|rik|björn|stein|o|geir|or|an", "dis|run|a|hild|rid|ja|borg|ny|e|veig|ina|laug" },
    { "b|bl|br|c|ch|cl|d|f|g|gr|h|k|l|m|n|p|pr|r|s|sh|st|t|th|tr|w|wh|ken|har", "a|e|i|o|u|ea|oo|ai|e|a|o|ar|er", "l|n|r|s|ck|nd|rn|rt|th|tt|ll|sh|x|m|d|ng|ld|b|p",
      "ton|ford|bury|ham|wick|ley|field|bridge|mouth|combe|worth|stead|hurst|by|well|dale|port|minster|more|gate|cester|wood|leigh|stow",
      "well|ton|ley|ford|smith|wood|man|son|worth|field|by|er|ridge|ham|croft|ington|ow|more|land|shaw|ing|ard|ett",
      "ard|in|son|ton|bert|ric|ian|er|iel|ley|ert|an|us", "a|elle|lyn|ine|ia|y|eth|ora|is|een|anna|ley" },
    { "b|c|ch|d|f|g|gl|l|m|n|p|r|s|t|v|br|tr|pr|sp|qu|fl|cr|z|gi|j", "a|e|i|o|u|ia|ie|a|o|e|au|io", "l|n|r|s|ll|nd|rn|nt|rt|st|m|rr|nn|tt|c|v|d|lv|mb|z",
      "ona|ella|ano|ara|ino|eda|ola|ia|ura|enza|essa|ona|aro|ovia|emont|ence|ac|illes|eux|osa|iers|ogne|ante|ugno",
      "elli|etti|ini|one|ano|ari|ez|eau|ard|ier|osa|era|otti|acci|ucci|ant|ois|ado|ares|oni|esco|ati|illo",
      "o|io|ino|ando|ario|ique|el|ien|ardo|aldo|ano|ois|ello", "a|ia|ella|ina|ette|ine|ora|isa|anda|ice|ara|etta" },
    { "b|br|d|dr|g|gr|k|kr|l|m|n|p|pr|r|s|sl|st|t|v|vl|z|zd|h|c|cz|sz", "a|e|i|o|u|y|a|o|e|ia|ie", "l|n|r|s|v|k|m|sk|st|d|z|b|rn|nk|t|ch|dr|p|j|rz",
      "ov|itz|grad|ava|ice|any|ovo|ek|in|sk|nik|opol|ica|ec|ow|ino|lin|evo|any|une|ory|nica|aj|en",
      "ova|ski|ov|ek|enko|ić|ak|icz|ev|ik|ska|in|uk|ar|an|ian|ec|ar|ny|iak|ow|ko|al",
      "slav|mir|ek|an|ej|il|or|islav|on|en|ko|ik|aw", "mila|a|ka|ena|ina|islava|ica|ja|enka|ana|ora|ushka" },
    { "b|d|f|g|h|j|k|l|m|n|p|r|s|t|v|w|z|x|q|th|sh|ch|zh|kh|y|ny|dl|tl|mb|gw|ph", "a|e|i|o|u|aa|y|ou|ae|é|ô|a|i|u|o|î", "|||n|l|r|k|s|m|t|x|sh|v|q|th|z|p|g",
      "a|u|ek|on|ix|or|um|ai|esh|ul|iq|ath|os|en|yx|ak|ur|eth|ir|oo|an|ep", "a|u|ek|on|ix|or|ath|il|esh|u|ama|oku|iri|un|ax|ole|ut",
      "o|u|ek|an|ir|oth|as|un|el|ik|at|em", "a|i|ia|e|une|ay|is|iel|oa|ara|eth|ani" },
};

static const char first_male[] =
    "Adam|Albert|Alexander|Alfred|Andreas|Anton|Arne|Arthur|August|Axel|Benedikt|Benjamin|Bernard|Bruno|Carl|Casper|Christian|Clemens|Conrad|Daniel|David|Dennis|"
    "Dominik|Edgar|Edmund|Eduard|Elias|Emil|Eric|Ernst|Erwin|Eugen|Fabian|Felix|Ferdinand|Finn|Florian|Frank|Franz|Frederik|Gabriel|Georg|Gerald|Gilbert|Gregor|"
    "Gustav|Hannes|Harald|Heinrich|Henrik|Herbert|Hugo|Ignaz|Igor|Isaac|Ivan|Jacob|Jan|Joachim|Johan|Jonas|Jonathan|Joseph|Julian|Karl|Klaus|Konrad|Lars|Laurent|"
    "Leo|Leonard|Lorenz|Louis|Lucas|Ludwig|Magnus|Marcel|Marco|Mario|Markus|Martin|Matthew|Max|Michael|Moritz|Nathan|Nicolas|Niels|Oliver|Oscar|Otto|Pablo|Patrick|"
    "Paul|Peter|Philip|Rafael|Ralph|Raymond|Richard|Robert|Robin|Roland|Rolf|Samuel|Sebastian|Sergio|Simon|Stefan|Sven|Theodor|Thomas|Tobias|Ulrich|Valentin|Victor|Walter|Werner|William|Xaver";
static const char first_female[] =
    "Ada|Agnes|Alice|Alma|Amalia|Anna|Anja|Annika|Astrid|Barbara|Beate|Bella|Birgit|Camilla|Carla|Carmen|Caroline|Catherine|Cecilia|Charlotte|Clara|Claudia|"
    "Cornelia|Dagmar|Daria|Diana|Dora|Edith|Elena|Elisa|Elisabeth|Ella|Elsa|Emilia|Emma|Erika|Eva|Fiona|Flora|Franziska|Frida|Gerda|Gisela|Greta|Hanna|Hedwig|"
    "Helena|Helga|Ida|Ines|Inga|Ingrid|Irene|Iris|Isabel|Jana|Johanna|Julia|Juliane|Karin|Katharina|Klara|Lara|Laura|Lea|Lena|Lilian|Linda|Lisa|Livia|Lotte|Louise|"
    "Lucia|Magdalena|Mara|Margarete|Maria|Marianne|Marie|Marta|Mathilda|Melanie|Mia|Monika|Nadia|Natalia|Nina|Nora|Olga|Olivia|Paula|Petra|Renate|Rita|Rosa|Ruth|"
    "Sabine|Sandra|Sara|Silvia|Sofia|Sonja|Stella|Susanne|Sylvia|Tanja|Teresa|Thea|Ursula|Vera|Verena|Victoria|Viola|Wanda|Yvonne";

int chance(struct rng *r, int percent) { return (int)rng_below(r, 100) < percent; }
int between(struct rng *r, int lo, int hi) { return lo + (int)rng_below(r, (uint32_t)(hi - lo + 1)); }

int list_len(const char *list)
{
    int n = 1;
    for (; *list; list++)
        n += *list == '|';
    return n;
}

const char *list_item(const char *list, int i, char *out, size_t cap)
{
    while (i > 0 && *list)
        i -= *list++ == '|';
    size_t n = strcspn(list, "|");
    if (n >= cap)
        n = cap - 1;
    memcpy(out, list, n);
    out[n] = 0;
    return out;
}

const char *pick_list(struct rng *r, const char *list, char *out, size_t cap)
{
    return list_item(list, (int)rng_below(r, (uint32_t)list_len(list)), out, cap);
}

static void append(char *out, size_t cap, const char *s)
{
    size_t n = strlen(out), m = strlen(s);
    if (n + m >= cap)
        return;
    memcpy(out + n, s, m + 1);
}

static void append_pick(struct rng *r, char *out, size_t cap, const char *list)
{
    char t[32];
    append(out, cap, pick_list(r, list, t, sizeof t));
}

int name_word_allowed(const char *word, enum partition part)
{
    static const char *const never[] = { "bielefeld", "stephan", "becker", "university", "institute", "college" };
    char low[NAME_MAX_BYTES];
    size_t n = 0;
    for (; word[n] && n + 1 < sizeof low; n++)
        low[n] = (char)(word[n] >= 'A' && word[n] <= 'Z' ? word[n] + 32 : word[n]);
    low[n] = 0;
    for (size_t i = 0; i < ARRAY_LEN(never); i++)
        if (!strcmp(low, never[i]))
            return 0;
    return ((hash64(low, n, 71) >> 20) % PARTS == PARTS - 1) == (part == PARTITION_DOCUMENT);
}

static void capitalise(char *s)
{
    static const char *const two[][2] = { { "ö", "Ö" }, { "ä", "Ä" }, { "ü", "Ü" }, { "å", "Å" }, { "ø", "Ø" }, { "é", "É" }, { "î", "Î" }, { "ô", "Ô" } };
    if (*s >= 'a' && *s <= 'z')
        *s = (char)(*s - 32);
    for (size_t i = 0; i < ARRAY_LEN(two); i++)
        if (!strncmp(s, two[i][0], 2))
            memcpy(s, two[i][1], 2);
}

static void stem(struct names *n, enum style st, int syllables, char *out, size_t cap)
{
    out[0] = 0;
    for (int i = 0; i < syllables; i++) {
        if (i > 0 || chance(n->r, 88))
            append_pick(n->r, out, cap, style_table[st].onset);
        append_pick(n->r, out, cap, style_table[st].vowel);
        if (i + 1 == syllables || chance(n->r, 45))
            append_pick(n->r, out, cap, style_table[st].coda);
    }
}

/* Words that many names share. */
int name_word_common(const char *word)
{
    static const char common[] = "|University|Institute|Technology|College|Technical|School|Economics|Music|Free|State|Medical|Academy|Arts|Business|Applied|Sciences|Museum|Works|Motors|Foods|River|Mount|Brothers|Group|Systems|"
        "Gallery|Sons|Ltd|GmbH|AG|Dr|Prof|Professor|Steel|Optics|Brewery|Software|Shipping|Paper|Electric|Furniture|Tools|Textiles|Company|Pharma|Robotics|Little|Valley|Upper|Lower|Coast|County|Duchy|Collection|City|Hall|Peak|Rock|"
        "Hill|United|Rovers|Lions|Athletic|Dynamo|Star|Queen|Lady|Grammar|Gymnasium|Primary|High|Bridge|Hospital|Clinic|General|Theatre|Playhouse|Opera|Stage|Library|Archive|Lake|Loch|Festival|Days|Fair|Herald|Times|Courier|Post|"
        "Gazette|Daily|Airport|International|Hotel|Grand|Palace|North|South|East|West|Great|Saint|Port|Castel|Fort|New|Old|Groß|Sir|Dame|Bad|San|Real|Inc|Castel|Saint|";
    char key[NAME_MAX_BYTES + 8];
    snprintf(key, sizeof key, "|%s|", word);
    return strstr(common, key) != NULL;
}

/* Every word of a whole name is in the partition, also words that patterns put together. */
static int name_allowed(const char *name, enum partition part)
{
    char word[NAME_MAX_BYTES];
    for (const char *p = name; *p;) {
        size_t k = strcspn(p, " -.&'");
        snprintf(word, sizeof word, "%.*s", (int)k, p);
        if (k >= 4 && !(*p >= 'a' && *p <= 'z') && !name_word_common(word) && !name_word_allowed(word, part))
            return 0;
        p += k + strspn(p + k, " -.&'");
    }
    return 1;
}

/* Letters without any order: what is copied must be copied letter by letter. */
static void noise_word(struct names *n, char *out, size_t cap)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzaeiouaeiou";
    int len = between(n->r, 3, 9);
    out[0] = 0;
    for (int i = 0; i < len && (size_t)i + 2 < cap; i++) {
        out[i] = letters[rng_below(n->r, sizeof letters - 1)];
        out[i + 1] = 0;
    }
}

static enum style any_style(struct rng *r)
{
    static const enum style row[] = { 0, 0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 4, 4, 5, 5 };
    return row[rng_below(r, ARRAY_LEN(row))];
}

static int is_vowel(unsigned char c) { return c >= 0x80 || (c && strchr("aeiouyAEIOUY", c)); }

/* No three vowels, no four consonants (three at the end), no letter three times. */
static int pronounceable(const char *w)
{
    int v = 0, c = 0;
    for (const char *p = w; *p; p++) {
        if (((unsigned char)*p & 0xC0) == 0x80)
            continue;
        if (is_vowel((unsigned char)*p))
            v++, c = 0;
        else
            c++, v = 0;
        if (v > 2 || c > 3 || (p > w + 1 && p[0] == p[-1] && p[-1] == p[-2]))
            return 0;
    }
    return c < 3;
}

enum word_use { WORD_TOWN, WORD_LAST, WORD_FIRST_M, WORD_FIRST_F, WORD_ANY, WORD_STEM };
static void word_once(struct names *n, enum word_use use, char *out, size_t cap)
{
    enum style st = any_style(n->r);
    while (n->plain && st == STYLE_FREE)
        st = any_style(n->r);
    int syl = st == STYLE_FREE ? between(n->r, 1, 2) : chance(n->r, 92) ? 1 : 2;
    if (!n->plain && chance(n->r, 4)) {
        noise_word(n, out, cap);
    } else do {
        stem(n, st, syl, out, cap);
        const char *suffix = use == WORD_TOWN ? style_table[st].town : use == WORD_LAST ? style_table[st].last :
            use == WORD_FIRST_M ? style_table[st].first_m : use == WORD_FIRST_F ? style_table[st].first_f :
            chance(n->r, 50) ? style_table[st].town : style_table[st].first_f;
        if (use != WORD_STEM && (use != WORD_LAST || chance(n->r, 85)))
            append_pick(n->r, out, cap, suffix);
    } while (!pronounceable(out));
    capitalise(out);
    if (chance(n->r, 1) && use == WORD_LAST) {
        char other[40];
        stem(n, st, 1, other, sizeof other);
        capitalise(other);
        append(out, cap, "-");
        append(out, cap, other);
    }
}

static void word_of(struct names *n, enum word_use use, char *out, size_t cap)
{
    do
        word_once(n, use, out, cap);
    while (strlen(out) < (use == WORD_STEM ? 3 : 4) || strlen(out) > 12 || !name_word_allowed(out, n->part));
}

void name_word(struct names *n, char *out, size_t cap) { word_of(n, WORD_ANY, out, cap); }

void name_town(struct names *n, char *out, size_t cap)
{
    static const char prefix[] = "New |Old |North |South |East |West |Upper |Lower |Great |Little |Bad |San |Saint |Port |Castel |Groß |Lake |Fort ";
    char w[48];
    word_of(n, WORD_TOWN, w, sizeof w);
    out[0] = 0;
    if (chance(n->r, 8))
        append_pick(n->r, out, cap, prefix);
    append(out, cap, w);
    if (chance(n->r, 3)) {
        word_of(n, WORD_TOWN, w, sizeof w);
        append_pick(n->r, out, cap, " am | upon | an der |-on-| sur ");
        append(out, cap, w);
    }
}

static void first_name(struct names *n, int female, char *out, size_t cap)
{
    if (chance(n->r, 45)) {
        word_of(n, female ? WORD_FIRST_F : WORD_FIRST_M, out, cap);
        return;
    }
    do
        pick_list(n->r, female ? first_female : first_male, out, cap);
    while (!name_word_allowed(out, n->part));
}

static void person_once(struct names *n, int female, int title, char *out, size_t cap)
{
    static const char titles[] = "Dr. |Dr. |Dr. |Prof. |Professor |Prof. Dr. |Dr. Dr. |Sir |Dame |Prof. Dr. |Dr. |Dr.-Ing. ";
    char w[64];
    out[0] = 0;
    if (title) {
        char t[24];
        pick_list(n->r, titles, t, sizeof t);
        if (!(female && !strcmp(t, "Sir ")) && !(!female && !strcmp(t, "Dame ")))
            append(out, cap, t);
    }
    first_name(n, female, w, sizeof w);
    append(out, cap, w);
    append(out, cap, " ");
    if (chance(n->r, 6)) {
        first_name(n, female, w, sizeof w);
        append(out, cap, w);
        append(out, cap, " ");
    } else if (chance(n->r, 5)) {
        char i[4] = { (char)('A' + rng_below(n->r, 26)), '.', ' ', 0 };
        append(out, cap, i);
    }
    if (chance(n->r, 4))
        append_pick(n->r, out, cap, "von |van |de |di |van der |zu |Mc|O'|Le ");
    word_of(n, WORD_LAST, w, sizeof w);
    append(out, cap, w);
}

void name_person(struct names *n, int female, int title, char *out, size_t cap)
{
    do
        person_once(n, female, title, out, cap);
    while (!name_allowed(out, n->part));
}

/* Patterns of names: @ a town, # a surname, * any word, ~ the first part of a word, $ a person, & a second surname. */
static const char *const name_pattern[N_TYPE] = {
    [TYPE_UNIVERSITY] = "@ University|@ University|@ University|@ University|University of @|University of @|University of @|# University|@ Institute of Technology|@ College|Technical University of @|"
        "@ School of Economics|@ School of Music|@ Technical University|Free University of @|# College|@ State University|@ Medical School|@ Academy of Arts|* Academy|University of Applied Sciences @|@ Business School",
    [TYPE_TOWN] = "@", [TYPE_COMPANY] = "# Ltd|# & Sons|# & &|* Works|* Motors|* Foods|# GmbH|# AG|@ Steel|* Systems|# Brothers|* Group|* Optics|*|* Inc.|# Brewery|* Software|# Shipping|@ Paper|* Electric|# Furniture|* Tools|* Textiles|# and Company|* Pharma|* Robotics",
    [TYPE_RIVER] = "the *|the *|the River *|the * River|the *|the Little *", [TYPE_PERSON] = "$",
    [TYPE_REGION] = "~ia|~land|~mark|~shire|the * Valley|Upper *|Lower *|the * Coast|*|County *|the Duchy of *", [TYPE_INSTRUMENT] = "the *|the *|the * horn|the * harp|the * flute|the * drum|the ~phone|the ~ola",
    [TYPE_MUSEUM] = "the @ Museum|the # Museum|the @ Art Museum|the # Gallery|the Museum of @|the # Collection|the @ City Museum|the * Hall|the * Museum",
    [TYPE_MOUNTAIN] = "Mount *|the ~horn|the ~berg|* Peak|the * Rock|Mount #|the ~spitze|Ben *|the * Hill|Piz *", [TYPE_CLUB] = "FC @|@ United|@ Rovers|SV @|@ City|the @ Lions|TSV @|Real @|* Athletic|Dynamo @",
    [TYPE_SHIP] = "the *|the MS *|the Star of @|the SS *|the Queen *|the Lady *", [TYPE_SCHOOL] = "# School|@ Grammar School|the # Gymnasium|@ Primary School|St. * School|# High School",
    [TYPE_BRIDGE] = "the # Bridge|the @ Bridge|the * Bridge|the Old @ Bridge", [TYPE_HOSPITAL] = "@ Hospital|St. * Hospital|the # Clinic|@ General Hospital|the # Hospital",
    [TYPE_THEATRE] = "the @ Theatre|the * Theatre|the # Playhouse|the @ Opera|the * Stage", [TYPE_LIBRARY] = "the # Library|the @ Library|the @ City Library|the * Archive",
    [TYPE_LAKE] = "Lake *|Lake #|the * Lake|the ~see|Loch *", [TYPE_FESTIVAL] = "the @ Festival|the * Festival|the @ Music Days|the * Fair", [TYPE_NEWSPAPER] = "the @ Herald|the @ Times|the @ Courier|the * Post|the @ Gazette|the * Daily",
    [TYPE_AIRPORT] = "@ Airport|# Airport|@ International Airport", [TYPE_HOTEL] = "the Hotel *|the Grand Hotel @|the * Inn|the @ Palace|Hotel #",
};

static void expand_name(struct names *n, const char *p, char *out, size_t cap, int *female)
{
    char w[NAME_MAX_BYTES];
    out[0] = 0;
    for (; *p; p++) {
        if (*p == '@')
            name_town(n, w, sizeof w);
        else if (*p == '#' || (*p == '&' && p[1] == 0))
            word_of(n, WORD_LAST, w, sizeof w);
        else if (*p == '*')
            word_of(n, WORD_ANY, w, sizeof w);
        else if (*p == '~')
            word_of(n, WORD_STEM, w, sizeof w);
        else if (*p == '$')
            name_person(n, *female, chance(n->r, 8), w, sizeof w);
        else
            w[0] = *p, w[1] = 0;
        append(out, cap, w);
    }
}

void name_entity(struct names *n, int type, struct entity *e)
{
    static const char uni[] = " University", of[] = "University of ";
    char p[64];
    *e = (struct entity){ .type = type, .female = chance(n->r, 50) };
    do
        expand_name(n, pick_list(n->r, name_pattern[type], p, sizeof p), e->name, sizeof e->name, &e->female);
    while (!name_allowed(e->name, n->part));
    size_t len = strlen(e->name), u = strlen(uni);
    if (type != TYPE_UNIVERSITY)
        return;
    if (!strcmp(p, "@ University") && len > u) {
        snprintf(e->alias, sizeof e->alias, "%s%.*s", chance(n->r, 50) ? "the University of " : "University of ", (int)(len - u), e->name);
    } else if (!strncmp(e->name, of, strlen(of))) {
        if (chance(n->r, 50))
            snprintf(e->alias, sizeof e->alias, "%s University", e->name + strlen(of));
        else
            snprintf(e->alias, sizeof e->alias, "the %.80s", e->name);
    }
}

/* The last capitalised word that is no common part, or any. */
static char *word_to_change(struct rng *r, char *s, size_t *len)
{
    char *pos[16], word[48];
    size_t lens[16];
    int n = 0;
    for (char *p = s; *p;) {
        size_t k = strcspn(p, " -.");
        snprintf(word, sizeof word, "%.*s", (int)k, p);
        if (k >= 3 && !(*p >= 'a' && *p <= 'z') && !name_word_common(word) && n < 16)
            pos[n] = p, lens[n++] = k;
        p += k + strspn(p + k, " -.");
    }
    if (!n)
        return NULL;
    int i = (int)rng_below(r, (uint32_t)n);
    *len = lens[i];
    return pos[i];
}

static void change_word(struct names *n, const char *w, size_t len, char *out, size_t cap)
{
    static const char endings[] = "stedt|feld|burg|heim|au|ton|ford|vik|dorf|ona|itz|sund|berg|er|mann|sen|elli|ley|a|en|o|ski|stein|hausen|by";
    char t[64];
    snprintf(t, sizeof t, "%.*s", (int)(len < 40 ? len : 40), w);
    size_t k = strlen(t), at = 1 + rng_below(n->r, (uint32_t)(k - 1));
    while (at < k && (t[at] & 0x80))
        at++;
    if (at >= k)
        at = k - 1;
    static const char letter[] = "aeiourlnstmdkbgfhvw";
    switch ((t[at] & 0x80) || (t[at - 1] & 0x80) ? 9 : rng_below(n->r, 9)) {
    case 0: case 1: t[at] = letter[rng_below(n->r, sizeof letter - 1)]; break;
    case 2: memmove(t + at, t + at + 1, k - at); break;
    case 3: memmove(t + at + 1, t + at, k - at + 1); t[at] = letter[rng_below(n->r, sizeof letter - 1)]; break;
    default: {
        size_t keep = 2 + rng_below(n->r, (uint32_t)(k > 4 ? k - 3 : 1));
        while (keep > 1 && (t[keep] & 0xC0) == 0x80)
            keep--;
        t[keep] = 0;
        append_pick(n->r, t, sizeof t, endings);
    } }
    snprintf(out, cap, "%s", t);
}

void name_perturb(struct names *n, const char *from, char *out, size_t cap)
{
    char copy[NAME_MAX_BYTES], word[64];
    snprintf(copy, sizeof copy, "%s", from);
    size_t len = 0;
    char *w = word_to_change(n->r, copy, &len);
    if (!w) {
        snprintf(out, cap, "%s %s", from, "North");
        return;
    }
    int tries = 0;
    do {
        if (chance(n->r, 25) || ++tries > 50)
            word_of(n, strchr(copy, ' ') && copy + strlen(copy) == w + len ? WORD_LAST : WORD_TOWN, word, sizeof word);
        else
            change_word(n, w, len, word, sizeof word);
    } while (strlen(word) < 3 || (strlen(word) == len && !strncmp(word, w, len)) || !name_allowed(word, n->part));
    snprintf(out, cap, "%.*s%s%s", (int)(w - copy), copy, word, w + len);
}
