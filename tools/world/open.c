/* open.c — open relations (any noun of long lists in the class grammar), values, filler words.
 *
 * Passages about hundreds of nouns teach reading and asking as such, so that a document may speak of things that the
 * core world never had.  SPDX-License-Identifier: Apache-2.0 */
#include "tools/world/world.h"

#include <string.h>

static const char roles[] =
    "treasurer|secretary|gardener|librarian|conductor|manager|owner|speaker|captain|coach|deputy head|chairman|chairwoman|chair|dean|vice president|caretaker|cook|doctor|lawyer|accountant|archivist|curator|editor|guard|porter|"
    "press officer|patron|sponsor|trainer|engineer|chief engineer|guide|keeper|warden|inspector|trustee|founder|architect|builder|designer|painter|composer|organist|photographer|teacher of music|technical director|artistic director|"
    "medical director|head nurse|head cook|chief editor|publisher|steward|pilot|first officer|helmsman|judge|host|hostess|organiser|auditor|chief accountant|data officer|safety officer|fire officer|head gardener|head librarian|"
    "head teacher|headmaster|sports director|honorary member|honorary president|first director|first president|first owner|spokesperson|spokeswoman|adviser|legal adviser|commissioner|ombudsman|chaplain|superintendent|bursar|"
    "registrar|provost|vice rector|representative|head of research|head of sales|head of finance|head of personnel|director of studies|equal opportunities officer|choir leader|orchestra leader|stage manager|ticket seller|landlord|tenant|referee|goalkeeper|groundsman|vet";
static const char counts[] =
    "rooms|windows|doors|lamps|benches|chairs|tables|desks|trees|gardens|bicycles|cars|buses|boats|computers|machines|laboratories|lecture halls|buildings|floors|steps|lifts|ovens|beds|nurses|doctors|patients|teachers|pupils|classes|"
    "members|players|fans|seats|goals|trophies|sailors|cabins|passengers|lifeboats|containers|flights|runways|gates|parking spaces|shops|restaurants|cafés|hotels|churches|schools|kindergartens|museums|theatres|libraries|cinemas|fountains|"
    "statues|parks|playgrounds|streets|squares|villages|farms|cows|sheep|horses|goats|geese|vineyards|mills|islands|waterfalls|dams|locks|ferries|caves|huts|ski lifts|paths|readers|subscribers|issues|pages|journalists|guests|concerts|musicians|"
    "stages|tickets|helpers|stalls|exhibits|coins|maps|manuscripts|journals|shelves|newspapers|actors|plays|singers|costumes|volunteers|apprentices|trainees|drivers|engineers|customers|suppliers|patents|factories|warehouses|trucks|vans|"
    "doctoral students|foreign students|female students|research groups|institutes|degree programmes|dormitories|scholarships|graduates|guest lecturers|partner universities|first-year students|lecturers|assistants|secretaries|cleaners|gardeners|cooks|tutors|"
    "fire engines|wells|towers|gates to the town|bells|organ pipes|keys|pedals|stones|arches|pillars|lanes|operations|clinics|ambulances|wards|plants|animals|birds|species|meals|cups|bottles|barrels|letters|calls|visits|tours";
static const char *const events[][2] = {
    { "renovated", "renovation" }, { "enlarged", "enlargement" }, { "rebuilt", "rebuilding" }, { "closed", "closing" }, { "sold", "sale" }, { "renamed", "renaming" }, { "restored", "restoration" }, { "modernised", "modernisation" },
    { "extended", "extension" }, { "repaired", "repair" }, { "opened", "opening" }, { "inspected", "inspection" }, { "painted", "painting" }, { "privatised", "privatisation" }, { "reopened", "reopening" }, { "destroyed", "destruction" },
    { "planned", "planning" }, { "designed", "design" }, { "registered", "registration" }, { "moved", "move" }, { "reformed", "reform" }, { "expanded", "expansion" }, { "built", "building" }, { "flooded", "flood" }, { "tested", "test" },
    { "visited by the king", "visit of the king" }, { "awarded a prize", "prize" }, { "insured", "insurance" }, { "divided", "division" }, { "bought", "purchase" }, { "completed", "completion" }, { "redesigned", "redesign" },
    { "electrified", "electrification" }, { "measured", "measurement" }, { "discovered", "discovery" }, { "documented", "documentation" }, { "evacuated", "evacuation" }, { "honoured", "honouring" } };
static const char things[] =
    "symbol|nickname|anthem|emblem|badge|flag|seal|patron saint|partner|rival|main sponsor|language|main language|favourite song|favourite food|drink|dessert|special offer|theme|topic|main topic|focus|speciality|strength|name in former times|old name|"
    "former name|short name|second name|first name|stage name|street|address|square|main street|district|quarter|nearest station|nearest town|neighbour|partner school|partner university|sister company|parent company|owner company|supplier|bank|main customer|"
    "main hall|largest hall|largest room|oldest building|newest building|best known building|best known work|best known student|best known member|most famous guest|most famous painting|oldest book|rarest book|rarest plant|rarest animal|house wine|house beer|"
    "home port|home ground|stadium|league|first opponent|last opponent|trophy|best player|station|airline|railway line|bus line|tram line|harbour|ferry|lake|forest|valley|castle|church|bridge|tower|monument|statue|fountain|market|park|garden|zoo|field of research|"
    "main subject|oldest subject|newest subject|strongest faculty|journal|magazine|newspaper|radio station|website|computer system|newsletter|choir|orchestra|band|theatre group|sports club|football team|rowing club|canteen|cafeteria|restaurant|café|award|prize|medal|festival";
static const struct { const char *noun, *adjective, *unit; int lo, hi; } measures[] = {
    { "length", "long", "metres", 12, 900 }, { "width", "wide", "metres", 3, 400 }, { "height", "high", "metres", 4, 300 }, { "depth", "deep", "metres", 2, 250 }, { "weight", "heavy", "tonnes", 2, 90000 }, { "weight", "heavy", "kg", 2, 900 },
    { "speed", "fast", "km per hour", 8, 290 }, { "area", "large", "hectares", 2, 4000 }, { "age", "old", "years", 20, 800 }, { "temperature", "warm", "degrees", 2, 39 }, { "budget", "big in budget", "million crowns", 2, 700 },
    { "price", "expensive", "crowns", 3, 900 }, { "fee", "costly", "crowns", 2, 700 }, { "rent", "dear", "crowns", 40, 4000 }, { "distance to the sea", "far from the sea", "km", 2, 700 }, { "distance to the capital", "far from the capital", "km", 3, 600 },
    { "debt", "deep in debt", "million crowns", 2, 300 }, { "floor space", "spacious", "square metres", 60, 80000 }, { "annual rainfall", "wet", "mm", 200, 2400 }, { "altitude", "high above the sea", "metres", 3, 2900 }, { "walking time", "long on foot", "minutes", 5, 600 },
    { "power", "strong", "kW", 20, 40000 }, { "capacity", "roomy", "litres", 50, 90000 }, { "thickness", "thick", "cm", 2, 300 }, { "circumference", "round", "km", 2, 400 }, { "profit", "profitable", "million crowns", 1, 200 }, { "circulation", "widely read", "copies", 900, 400000 } };

/* Nouns that occur nowhere above or in relations.c: for the document whose attributes the world lacks. */
static const struct relation lacking[] = {
    { NULL, CLASS_ROLE, "night watchman", NULL, VALUE_PERSON, 0, 0, NULL, NULL }, { NULL, CLASS_COUNT, "weather balloons", NULL, VALUE_COUNT, 20, 900, NULL, NULL },
    { NULL, CLASS_EVENT, "quarantine", "quarantined", VALUE_YEAR, 1900, 2015, NULL, NULL }, { NULL, CLASS_THING, "lighthouse", NULL, VALUE_NAME, 0, 0, NULL, NULL },
    { NULL, CLASS_COUNT, "solar panels", NULL, VALUE_COUNT, 100, 9000, NULL, NULL }, { NULL, CLASS_ROLE, "beekeeper", NULL, VALUE_PERSON, 0, 0, NULL, NULL },
    { NULL, CLASS_MEASURE, "voltage", "electric", VALUE_MEASURE, 100, 9000, "volts", NULL }, { NULL, CLASS_COUNT, "penguins", NULL, VALUE_COUNT, 10, 400, NULL, NULL },
};
int n_open_lacking(void) { return (int)ARRAY_LEN(lacking); }
void open_lacking_relation(int i, struct relation *out) { *out = lacking[i]; }

static const char filler[] =
    "about|above|across|after|again|against|ago|air|almost|alone|along|already|also|always|among|animal|another|apple|arm|around|autumn|away|back|bag|ball|bank|basket|beautiful|because|before|begin|behind|believe|below|beside|best|better|between|big|bird|bitter|"
    "blanket|board|boat|body|book|bottle|bottom|bowl|box|branch|brave|bread|break|bright|bring|broken|brother|brush|bucket|build|busy|butter|button|cake|calendar|calm|candle|careful|carry|cat|catch|chair|cheap|child|choose|circle|clean|clear|clever|climb|close|cloud|coat|"
    "coffee|cold|collect|comb|come|cool|copper|corner|cotton|cough|count|country|cover|crack|cream|cup|cut|dance|danger|dark|daughter|day|deep|delicate|demands|desk|dictate|different|dirty|dog|door|double|draw|dream|dress|drink|drop|dry|dust|ear|early|earth|east|easy|"
    "edge|egg|elastic|empty|end|enough|evening|ever|every|exam|example|exchange|eye|face|fail|fair|fall|family|far|fast|father|feather|feel|fence|few|field|fight|figure|fill|find|finger|fire|flag|flat|floor|flower|fly|fold|follow|foot|forest|fork|form|forward|free|fresh|"
    "friend|front|fruit|full|funny|game|gap|garden|gentle|gift|glad|glass|glove|goat|gold|good|grandmother|grass|great|ground|group|grow|guide|hair|half|hammer|hand|happy|hard|hat|head|hear|heart|heavy|help|high|hill|hold|hole|hollow|homework|honest|hook|hope|horn|"
    "hour|house|ice|idea|important|inside|iron|island|jewel|join|journey|jump|just|keep|kettle|key|kick|kind|kindly|kiss|kitchen|knee|knife|knot|know|lack|ladder|lamp|land|large|last|late|laugh|lead|leaf|learn|leather|left|leg|less|letter|level|lift|light|like|lip|"
    "list|little|lock|long|look|loose|loud|love|low|lunch|machine|map|mark|market|match|mean|meat|medicine|middle|milk|mind|mirror|mist|money|monkey|moon|morning|mother|mouth|move|much|music|nail|name|narrow|near|neck|needle|nest|net|never|new|newspaper|night|noise|nose|note|notes|"
    "nothing|number|nut|ocean|offer|office|often|old|once|onion|open|orange|order|outside|oven|over|own|page|pain|paint|pan|paper|papers|parcel|part|pass|past|path|pen|pencil|people|perhaps|picture|piece|pin|pipe|place|plain|plan|plate|play|please|pocket|point|poor|potato|pull|pure|"
    "push|puzzle|quick|quiet|quite|rail|rain|rather|ready|recall|red|report|reveal|rest|rice|rich|ring|river|road|roof|room|root|rope|rough|round|ruler|run|sad|safe|sail|salt|same|sand|satisfy|saw|say|school|scissors|screw|sea|seat|second|secret|seed|send|settle|shade|shake|shape|sharp|sheep|"
    "shelf|ship|shirt|shoe|short|shoulder|shout|side|sign|signature|signs|silk|silver|simple|sing|sister|sit|sits|skin|sky|sleep|slow|small|smell|smile|smoke|smooth|snake|snow|soap|soft|some|son|song|soon|sort|soup|south|spade|spoon|spring|square|stamp|stand|stands|star|start|station|stem|step|stick|"
    "still|stocking|stomach|stone|stop|store|storm|story|straight|strange|street|strong|sudden|sugar|sum|summer|sun|sweet|swim|table|tail|take|talk|tall|taste|tea|teach|thick|thin|thing|think|thread|throat|through|thumb|thunder|ticket|tie|tight|till|time|tin|tired|title|toe|together|tomorrow|"
    "tongue|tooth|top|touch|tower|towel|train|travel|tray|tree|trick|trouble|trousers|true|turn|twist|uncle|under|until|up|use|valley|very|view|violet|visitor|voice|wait|walk|wall|war|warm|wash|watch|water|wave|wax|way|weather|week|west|wet|wheel|whisper|whistle|white|wide|wild|wind|window|"
    "wine|wing|winter|wire|wise|wood|wool|word|work|worm|wrong|yellow|yes|yesterday|young|zebra|arguing|curiosity|enlighten|enquired|interest|occupies|carries|readable|measuring|counting|belongs|result|foot|bet|remember|letters|names|hundred|plus|minus|besides|meanwhile|however|therefore|though|unless|whether|early|desk|early|bet";

const char *filler_word(struct rng *r)
{
    static char word[2048][16];
    static int n;
    if (!n)
        for (int i = 0, k = list_len(filler); i < k && i < 2048; i++, n++) {
            list_item(filler, i, word[i], sizeof word[i]);
        }
    return word[rng_below(r, (uint32_t)n)];
}

void open_relation(struct rng *r, int type, struct relation *out)
{
    static char noun[4096][32];                    /* interned nouns of the three lists */
    static int n_roles, n_counts, n_things;
    if (!n_roles) {
        n_roles = list_len(roles), n_counts = list_len(counts), n_things = list_len(things);
        for (int i = 0; i < n_roles; i++)
            list_item(roles, i, noun[i], sizeof noun[i]);
        for (int i = 0; i < n_counts; i++)
            list_item(counts, i, noun[1000 + i], sizeof noun[0]);
        for (int i = 0; i < n_things; i++)
            list_item(things, i, noun[2000 + i], sizeof noun[0]);
    }
    *out = (struct relation){ 0 };
    int k = (int)rng_below(r, 100);
    if (type == TYPE_PERSON)
        k = 72 + k * 18 / 100;             /* things only */
    if (k < 32) {
        *out = (struct relation){ .cls = CLASS_ROLE, .value = VALUE_PERSON, .noun = noun[rng_below(r, (uint32_t)n_roles)] };
    } else if (k < 58) {
        static const int hi[] = { 90, 400, 3000, 30000, 400000 };
        *out = (struct relation){ .cls = CLASS_COUNT, .value = VALUE_COUNT, .noun = noun[1000 + rng_below(r, (uint32_t)n_counts)], .lo = 2, .hi = hi[rng_below(r, 5)] };
    } else if (k < 72) {
        const char *const *ev = events[rng_below(r, ARRAY_LEN(events))];
        *out = (struct relation){ .cls = CLASS_EVENT, .value = VALUE_YEAR, .noun = ev[1], .verb = ev[0], .lo = 1500, .hi = 2022 };
    } else if (k < 90) {
        static const enum value_kind any[] = { VALUE_NAME, VALUE_NAME, VALUE_NAME, VALUE_MOTTO, VALUE_TOWN, VALUE_COMPANY, VALUE_PERSON, VALUE_WORD, VALUE_MOTTO };
        *out = (struct relation){ .cls = CLASS_THING, .value = any[rng_below(r, ARRAY_LEN(any))], .noun = noun[2000 + rng_below(r, (uint32_t)n_things)] };
    } else {
        size_t i = rng_below(r, ARRAY_LEN(measures));
        *out = (struct relation){ .cls = CLASS_MEASURE, .value = VALUE_MEASURE, .noun = measures[i].noun, .verb = measures[i].adjective, .arg = measures[i].unit, .lo = measures[i].lo, .hi = measures[i].hi };
    }
}

/* ---- values ---- */
static void with_commas(int v, char *out, size_t cap)
{
    if (v < 1000)
        snprintf(out, cap, "%d", v);
    else if (v < 1000000)
        snprintf(out, cap, "%d,%03d", v / 1000, v % 1000);
    else
        snprintf(out, cap, "%d,%03d,%03d", v / 1000000, v / 1000 % 1000, v % 1000);
}

/* Log-uniform, so that short and long numbers are equally frequent; round numbers now and then. */
static int draw_number(struct rng *r, int lo, int hi)
{
    int64_t a = lo, b = hi;
    while (b > 12 * a && rng_below(r, 100) < 55)
        if (rng_below(r, 2))
            b = b / 3;
        else
            a = a * 3;
    int v = (int)(a + rng_below(r, (uint32_t)(b - a + 1)));
    if (v > 200 && rng_below(r, 100) < 15)
        v -= v % 10;
    if (v > 1200 && rng_below(r, 100) < 12)
        v -= v % 100;
    return v > lo ? v : lo;
}

static void motto(struct rng *r, char *out, size_t cap)
{
    static const char noun[] = "Truth|Light|Patience|Courage|Order|Wisdom|Freedom|Labour|Honour|Faith|Reason|Peace|Unity|Virtue|Hope|Justice|Strength|Joy|Duty|Progress|Harmony|Knowledge|Friendship|Care|Balance|Clarity|Music|Water|Iron|Fire|Wonder|Speed|Quality|Trust";
    static const char verb[] = "Seek|Serve|Build|Learn|Love|Guard|Follow|Keep|Find|Share|Dare|Trust|Bring|Grow|Make|Give";
    static const char adj[] = "Always|Never|Ever|Better|Forward|Higher|Together|Slowly|Gently|Boldly|Simply|Truly";
    char a[24], b[24], c[24];
    pick_list(r, noun, a, sizeof a);
    do
        pick_list(r, noun, b, sizeof b);
    while (!strcmp(a, b));
    switch (rng_below(r, 8)) {
    case 0: case 1: snprintf(out, cap, "%s and %s", a, b); break;
    case 2: snprintf(out, cap, "%s through %s", a, b); break;
    case 3: snprintf(out, cap, "%s %s", pick_list(r, verb, c, sizeof c), a); break;
    case 4: snprintf(out, cap, "%s, %s and %s", a, b, pick_list(r, noun, c, sizeof c)); break;
    case 5: snprintf(out, cap, "%s %s", pick_list(r, adj, c, sizeof c), pick_list(r, adj, b, sizeof b)); break;
    case 6: snprintf(out, cap, "%s without %s", a, b); break;
    default: snprintf(out, cap, "%s %s for %s", pick_list(r, verb, c, sizeof c), a, b);
    }
}

static int number_is_free(const char *v)
{
    static const char *const taken[] = { "24,255", "24255", "1,100", "1,387", "1969" };
    for (size_t i = 0; i < ARRAY_LEN(taken); i++)
        if (strstr(v, taken[i]))
            return 0;
    return 1;
}

static void draw_value(struct names *n, const struct relation *rel, char *out, size_t cap)
{
    static const char adjective[] = "Golden |Silver |Old |Blue |Red |Green |Big |White |Black |Royal |Little |";
    static const char object[] = " Star| Lion| Tower| Garden| Cup| Hall| House| Street| Square| Bell| Rose| Crown| Line| Park| Lane| Court| Arch| Ship| Song| Medal";
    static const char words[] = "blue|chess|granite|apple cake|tea|rowing|music|mathematics|history|law|medicine|biology|glass|paper|football|the sun|the moon|a star|a red lion|a blue ship|an oak tree|a white horse|bread|honey|Latin|Danish|German|Italian|physics|weaving|plum jam|fish soup|robotics|ecology";
    struct entity e;
    char t[48], w[48];
    switch (rel->value) {
    case VALUE_PERSON: name_person(n, chance(n->r, 50), chance(n->r, 30), out, cap); break;
    case VALUE_YEAR: snprintf(out, cap, "%d", chance(n->r, 65) && rel->hi - rel->lo > 150 ? between(n->r, rel->hi - 150, rel->hi) : between(n->r, rel->lo, rel->hi)); break;
    case VALUE_COUNT: with_commas(draw_number(n->r, rel->lo, rel->hi), out, cap); break;
    case VALUE_MEASURE: {
        int v = draw_number(n->r, rel->lo, rel->hi);
        with_commas(v, t, sizeof t);
        if (v < 900 && chance(n->r, 20))
            snprintf(out, cap, "%s.%d %s", t, between(n->r, 1, 9), rel->arg);
        else
            snprintf(out, cap, "%s %s", t, rel->arg);
        break; }
    case VALUE_TOWN: name_town(n, out, cap); break;
    case VALUE_REGION: name_entity(n, TYPE_REGION, &e); snprintf(out, cap, "%s", e.name); break;
    case VALUE_RIVER: name_entity(n, TYPE_RIVER, &e); snprintf(out, cap, "%s", e.name); break;
    case VALUE_MOUNTAIN: name_entity(n, TYPE_MOUNTAIN, &e); snprintf(out, cap, "%s", e.name); break;
    case VALUE_UNIVERSITY: name_entity(n, TYPE_UNIVERSITY, &e); snprintf(out, cap, "%s", e.name); break;
    case VALUE_COMPANY: name_entity(n, TYPE_COMPANY, &e); snprintf(out, cap, "%s", e.name); break;
    case VALUE_MOTTO: motto(n->r, out, cap); break;
    case VALUE_NAME: {
        name_word(n, w, sizeof w);
        int k = (int)rng_below(n->r, 4);
        if (k == 0)
            snprintf(out, cap, "%s%s", w, pick_list(n->r, object, t, sizeof t));
        else if (k == 1)
            snprintf(out, cap, "the %s%s", pick_list(n->r, adjective, t, sizeof t), w);
        else
            snprintf(out, cap, "%s", w);
        break; }
    case VALUE_COLOUR: case VALUE_WORD: case VALUE_ANY: pick_list(n->r, rel->arg ? rel->arg : words, out, cap); break;
    }
}

void value_make(struct names *n, const struct relation *rel, char *out, size_t cap)
{
    do
        draw_value(n, rel, out, cap);
    while (!number_is_free(out));
}

const struct relation *fact_relation(const struct fact *f) { return f->rel ? f->rel : &f->open; }

void fact_make(struct names *n, const struct relation *rel, struct fact *f)
{
    int fixed = rel >= relation_table && rel < relation_table + n_relation;
    struct relation copy = *rel;
    f->rel = fixed ? rel : NULL;
    f->open = copy;
    rel = fact_relation(f);
    f->noun = rel->noun ? (int)rng_below(n->r, (uint32_t)list_len(rel->noun)) : 0;
    f->verb = rel->verb ? (int)rng_below(n->r, (uint32_t)list_len(rel->verb)) : 0;
    value_make(n, rel, f->value, sizeof f->value);
    static const int not_this = 2017;
    f->year = 0;
    if (rel->cls == CLASS_COUNT && chance(n->r, 55)) {
        do
            f->year = chance(n->r, 75) ? between(n->r, 2001, 2024) : between(n->r, 1880, 2000);
        while (f->year == not_this);
    }
}
