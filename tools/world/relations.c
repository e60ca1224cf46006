/* relations.c — the types of the world and their fixed relations.  The core world and most passages use these;
 * open.c adds any number of others.  SPDX-License-Identifier: Apache-2.0 */
#include "tools/world/world.h"

#include <string.h>

#define FORMS(...) (const char *const[]){ __VA_ARGS__, NULL }

static const char COLOURS[] = "blue|green|red|white|black|yellow|orange|purple|grey|brown|silver|gold|dark blue|light green|pink|turquoise|crimson|violet|blue and white|red and gold|green and black|white and red|yellow and blue|black and silver";
static const char PROFESSIONS[] = "baker|teacher|lawyer|doctor|painter|farmer|nurse|judge|pilot|singer|tailor|chemist|gardener|carpenter|journalist|librarian|surgeon|translator|watchmaker|builder|fisherman|shoemaker|biologist|geologist|musician|dancer|locksmith|butcher|photographer|mechanic";
static const char HOBBIES[] = "chess|swimming|rowing|fishing|knitting|cycling|sailing|cooking|hiking|gardening|singing|pottery|dancing|reading|climbing|skiing|stamp collecting|photography|beekeeping|running|fencing|model trains|bird watching|bowling";
static const char PRODUCTS[] = "bicycles|clocks|paper|glass|shoes|tractors|pianos|chocolate|cheese|lamps|carpets|pumps|cameras|furniture|boats|tyres|ovens|medicine|toys|soap|engines|helmets|umbrellas|bread|windows|batteries|tents|spoons|telescopes|pencils|elevators|buttons|violins|tea|salt|bricks";
static const char ANIMALS[] = "owl|bear|wolf|lion|fox|eagle|stag|swan|falcon|otter|badger|lynx|raven|heron|horse|bull|beaver|salmon|hedgehog|crane|goose|squirrel|tiger|dolphin";
static const char PLANTS[] = "rose|lily|oak|tulip|thistle|iris|daisy|fern|poppy|violet|linden|clover|maple|heather|sunflower|bluebell|edelweiss|orchid|birch|gentian|willow|lavender";
static const char WEEKDAYS[] = "Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday";
static const char MATERIALS[] = "oak|maple|brass|silver|bamboo|clay|bone|copper|cherry wood|bronze|ivory|walnut|glass|steel|leather|birch|ebony|horn|pine|tin";
static const char ROCKS[] = "granite|limestone|basalt|sandstone|slate|marble|gneiss|quartz|chalk|dolomite|schist|lava";
static const char FISHES[] = "trout|pike|carp|salmon|perch|eel|barbel|grayling|bream|tench|sturgeon|catfish";
static const char DISHES[] = "plum cake|fish soup|potato salad|onion pie|apple strudel|lamb stew|cheese bread|nut roll|barley soup|mushroom tart|pancakes|roast duck|bean stew|honey cake|smoked eel|cabbage rolls";

#define STAFF(noun, work) "S:%E employs %V " noun, "S:%V " noun " work at %E", "T:%E employed %V " noun "%Q", "T:%V " noun " worked at %E%Q", "T:in %y, %V " noun " worked at %E", "T:%V " noun " were employed by %E%Q", \
    "D:how many %N work at %E", "D:how many %N worked at %E%Q", "D:how many %N does %E employ", "D:how many %N did %E employ%Q", "D:how many people " work " %E", "D:how many %N are employed by %E", \
    "N:the number of %N employed by %E%Q", "N:the number of %N working at %E", "E:how many %N work at %E", "E:how many %N %E employs", "E:how many people " work " %E", "I:%E employs how many %N", "R:which %T employs %V %N", "R:where do %V %N work", \
    "Q:which %T employs %V %N", "M:the %T that employs %V %N", "Z:in which year did %V %N work at %E"

const struct relation relation_table[] = {
    /* university */
    { "chancellor", CLASS_ROLE, "chancellor", NULL, VALUE_PERSON, 0, 0, NULL, NULL },
    { "rector", CLASS_ROLE, "rector", NULL, VALUE_PERSON, 0, 0, NULL, NULL },
    { "president", CLASS_ROLE, "president", NULL, VALUE_PERSON, 0, 0, NULL, NULL },
    { "university_founded", CLASS_EVENT, "foundation|founding|establishment|foundation|founding", "founded|founded|founded|established|set up|created", VALUE_YEAR, 1400, 2005, NULL,
      FORMS("S:%E has existed since %V", "S:%E goes back to the year %V", "S:%E opened its doors in %V", "S:%E began its work in %V", "D:when did %E open its doors", "D:since when does %E exist", "D:since when has there been %E", "D:when did %E begin its work",
            "D:when did %E come into being", "D:what is %S founding year", "D:what is the founding year of %E", "D:when did %E start", "N:the founding year of %E", "N:%S founding year", "N:the foundation year of %E", "N:%S founding date",
            "E:since when %E has existed", "E:when %E opened its doors", "E:when %E came into being", "E:when %E began its work", "K:%E founding year", "K:%E founded", "K:founding year of %E", "F:%E has existed since") },
    { "students", CLASS_COUNT, "students|students|students|students|enrolled students", NULL, VALUE_COUNT, 300, 60000, NULL,
      FORMS("S:%V students study at %E", "S:%E teaches %V students", "T:%V students studied at %E%Q", "T:%V students were enrolled at %E%Q", "T:in %y, %V students studied at %E", "T:%E taught %V students%Q", "S:%V students are enrolled at %E",
            "D:how many students study at %E", "D:how many students are enrolled at %E", "D:how many students were enrolled at %E%Q", "D:how many students attend %E", "D:how many students studied at %E%Q", "D:how many people study at %E", "D:how many students does %E teach",
            "D:how many people were studying at %E%Q", "N:the number of students enrolled at %E%Q", "N:the student number of %E%Q", "N:the number of people studying at %E", "N:%S student numbers%Q", "E:how many students study at %E",
            "E:how many students are enrolled at %E", "E:how many students studied at %E%Q", "E:how many people study at %E", "I:how many students study at %E", "R:at which %T do %V students study", "R:where do %V students study", "R:at which %T did %V students study%Q",
            "Q:at which %T %V students study", "M:the %T where %V students study", "Z:in which year did %V students study at %E") },
    { "administrative_staff", CLASS_COUNT, "administrative staff|administrative staff|administrative staff|administrative employees|administrative staff members|administrative workers", NULL, VALUE_COUNT, 40, 6000, NULL,
      FORMS(STAFF("administrative staff", "work in the administration of"), "S:the administration of %E has %V employees", "T:the administration of %E had %V employees%Q", "T:the administrative staff of %E numbered %V%Q", "D:how large is the administrative staff of %E", "N:the size of the administrative staff of %E%Q") },
    { "academic_staff", CLASS_COUNT, "academic staff|academic staff|academic staff|academic employees|academic staff members|academics", NULL, VALUE_COUNT, 40, 9000, NULL,
      FORMS(STAFF("academic staff", "do academic work at"), "T:the academic staff of %E numbered %V%Q", "S:the academic staff of %E numbers %V", "D:how large is the academic staff of %E", "D:how large was the academic staff of %E%Q", "N:the size of the academic staff of %E%Q") },
    { "university_town", CLASS_PLACE, "town|town|city|place", NULL, VALUE_TOWN, 0, 0, NULL, NULL },
    { "motto", CLASS_THING, "motto", NULL, VALUE_MOTTO, 0, 0, NULL, FORMS("S:the motto of %E reads %V", "D:how does the motto of %E read", "D:what does the motto of %E say", "N:the words of the motto of %E", "E:how the motto of %E reads") },
    { "colour", CLASS_THING, "colour|colour|official colour", NULL, VALUE_COLOUR, 0, 0, COLOURS, FORMS("D:in which colour does %E show itself", "D:what colour stands for %E", "S:%V stands for %E") },
    { "library_volumes", CLASS_COUNT, "library volumes|books in the library|library books|volumes in the library", NULL, VALUE_COUNT, 5000, 4000000, NULL,
      FORMS("S:the library of %E holds %V volumes", "T:the library of %E held %V volumes%Q", "D:how many volumes does the library of %E hold", "D:how many books does the library of %E have", "D:how many volumes did the library of %E hold%Q", "N:the number of volumes in the library of %E%Q", "E:how many volumes the library of %E holds", "E:how many books the library of %E has") },
    { "faculties", CLASS_COUNT, "faculties|faculties|departments", NULL, VALUE_COUNT, 3, 24, NULL, NULL },
    { "professors", CLASS_COUNT, "professors", NULL, VALUE_COUNT, 30, 1900, NULL, FORMS("S:%V professors teach at %E", "T:%V professors taught at %E%Q", "D:how many professors teach at %E", "D:how many professors taught at %E%Q", "E:how many professors teach at %E", "N:the number of professors teaching at %E") },
    { "university_founder", CLASS_ROLE, "founder", NULL, VALUE_PERSON, 0, 0, NULL, FORMS("S:%V founded %E", "S:%E was founded by %V", "D:who founded %E", "D:by whom was %E founded", "E:who founded %E", "E:by whom %E was founded", "N:the person who founded %E", "R:which %T did %V found", "R:which %T was founded by %V", "Q:which %T %V founded") },
    { "animal", CLASS_THING, "heraldic animal|animal|mascot", NULL, VALUE_WORD, 0, 0, ANIMALS, NULL },
    /* town */
    { "mayor", CLASS_ROLE, "mayor", NULL, VALUE_PERSON, 0, 0, NULL, FORMS("S:%V governs %E as mayor", "D:who governs %E as mayor", "D:who is mayor in %E", "E:who is mayor in %E") },
    { "inhabitants", CLASS_COUNT, "inhabitants|inhabitants|residents|citizens", NULL, VALUE_COUNT, 300, 900000, NULL,
      FORMS("S:%V people live in %E", "T:%V people lived in %E%Q", "S:the population of %E is %V", "T:the population of %E was %V%Q", "D:how many people live in %E", "D:what is the population of %E", "D:what was the population of %E%Q", "D:how many people lived in %E%Q", "D:how large is the population of %E", "N:the population of %E%Q",
            "N:%S population%Q", "N:the number of people in %E", "E:how many people live in %E", "E:how large the population of %E is", "K:%E population", "K:population of %E%Q", "R:in which %T do %V people live") },
    { "first_mentioned", CLASS_EVENT, "first mention", "first mentioned|first mentioned|mentioned for the first time", VALUE_YEAR, 800, 1600, NULL, NULL },
    { "town_region", CLASS_PLACE, "region|region|area", NULL, VALUE_REGION, 0, 0, NULL, NULL },
    { "town_river", CLASS_THING, "river", NULL, VALUE_RIVER, 0, 0, NULL, FORMS("S:%E lies on %V", "S:%V flows through %E", "D:on which river does %E lie", "D:which river flows through %E", "D:what river is %E on", "E:which river flows through %E", "N:the river that flows through %E", "R:which %T lies on %V", "Q:which %T lies on %V") },
    { "town_area", CLASS_MEASURE, "area", "large", VALUE_MEASURE, 5, 900, "square kilometres", FORMS("S:%E covers %V", "D:how many square kilometres does %E cover", "D:what area does %E cover", "E:what area %E covers") },
    { "market_day", CLASS_THING, "market day", NULL, VALUE_WORD, 0, 0, WEEKDAYS, FORMS("S:%E has its market on %V", "D:on which day is the market in %E", "D:when is market day in %E", "E:on which day %E has its market", "N:the day of the market in %E") },
    { "dish", CLASS_THING, "favourite dish|local dish|speciality", NULL, VALUE_WORD, 0, 0, DISHES, FORMS("S:people in %E love to eat %V", "D:what do people in %E love to eat") },
    { "twin_town", CLASS_THING, "twin town|partner town", NULL, VALUE_TOWN, 0, 0, NULL, NULL },
    { "tower_height", CLASS_MEASURE, "tower height|height of the tower", "high at its tower", VALUE_MEASURE, 18, 160, "metres", FORMS("S:the tower of %E is %V high", "D:how high is the tower of %E", "E:how high the tower of %E is", "N:the height of the tower of %E") },
    /* company */
    { "director", CLASS_ROLE, "director|director|managing director|head", NULL, VALUE_PERSON, 0, 0, NULL, FORMS("S:%V leads %E", "S:%E is led by %V", "S:%V runs %E", "D:who leads %E", "D:who runs %E", "D:by whom is %E led", "E:who leads %E", "E:who runs %E", "N:the person who leads %E", "R:which %T does %V lead", "R:which %T is led by %V", "Q:which %T %V leads") },
    { "company_founder", CLASS_ROLE, "founder", NULL, VALUE_PERSON, 0, 0, NULL, FORMS("S:%V founded %E", "S:%E was founded by %V", "S:%V started %E", "D:who founded %E", "D:by whom was %E founded", "D:who started %E", "E:who founded %E", "E:by whom %E was founded", "N:the person who founded %E", "R:which %T did %V found", "R:which %T was founded by %V", "Q:which %T %V founded") },
    { "company_founded", CLASS_EVENT, "foundation|founding|establishment", "founded|founded|founded|established|set up|created", VALUE_YEAR, 1750, 2018, NULL,
      FORMS("S:%E has existed since %V", "S:%E goes back to the year %V", "S:%E opened in %V", "D:since when does %E exist", "D:when did %E begin its work", "D:what is %S founding year", "D:what is the founding year of %E", "D:when did %E start", "N:the founding year of %E", "N:%S founding year", "E:since when %E has existed", "E:when %E started", "K:%E founding year") },
    { "employees", CLASS_COUNT, "employees|employees|workers|staff", NULL, VALUE_COUNT, 8, 90000, NULL,
      FORMS("S:%E employs %V people", "S:%V people work for %E", "T:%E employed %V people%Q", "T:%V people worked for %E%Q", "D:how many people work for %E", "D:how many people does %E employ", "D:how many people did %E employ%Q", "D:how many people worked for %E%Q", "N:the number of people who work for %E", "N:the number of people employed by %E%Q",
            "E:how many people %E employs", "E:how many people work for %E", "R:which %T employs %V people", "Q:which %T employs %V people") },
    { "headquarters", CLASS_PLACE, "town|town|city|place", NULL, VALUE_TOWN, 0, 0, NULL, FORMS("S:the headquarters of %E are in %V", "S:%E has its headquarters in %V", "D:where are the headquarters of %E", "D:where does %E have its headquarters", "E:where the headquarters of %E are", "N:the town with the headquarters of %E", "K:%E headquarters") },
    { "product", CLASS_THING, "main product|main product|product", NULL, VALUE_WORD, 0, 0, PRODUCTS, FORMS("S:%E makes %V", "S:%E produces %V", "S:%V are made by %E", "D:what does %E make", "D:what does %E produce", "D:what is made by %E", "E:what %E makes", "E:what %E produces", "N:what %E produces", "R:which %T makes %V", "R:which %T produces %V", "Q:which %T makes %V") },
    { "turnover", CLASS_MEASURE, "turnover|turnover|annual turnover|revenue", "big in turnover", VALUE_MEASURE, 2, 900, "million crowns", FORMS("S:%E turns over %V a year", "D:how much does %E turn over a year", "E:how much %E turns over a year", "N:the amount that %E turns over a year") },
    { "branches", CLASS_COUNT, "branches|branches|shops", NULL, VALUE_COUNT, 2, 400, NULL, NULL },
    { "logo_colour", CLASS_THING, "logo colour|company colour", NULL, VALUE_COLOUR, 0, 0, COLOURS, FORMS("S:the logo of %E is %V", "D:what colour is the logo of %E", "D:which colour does the logo of %E have", "E:what colour the logo of %E is", "N:the colour of the logo of %E") },
    { "slogan", CLASS_THING, "slogan", NULL, VALUE_MOTTO, 0, 0, NULL, NULL },
    /* river */
    { "river_length", CLASS_MEASURE, "length", "long", VALUE_MEASURE, 12, 980, "km", FORMS("S:%E flows for %V", "D:how many kilometres long is %E", "D:how far does %E flow", "E:how many kilometres long %E is", "E:how far %E flows") },
    { "source", CLASS_THING, "source", NULL, VALUE_MOUNTAIN, 0, 0, NULL, FORMS("S:%E rises at %V", "S:%E has its source at %V", "S:%E begins at %V", "D:where does %E rise", "D:where is the source of %E", "D:where does %E begin", "D:at which mountain does %E rise", "E:where %E rises", "E:where %E begins", "N:the place where %E rises", "N:the mountain where %E begins", "R:which %T rises at %V", "Q:which %T rises at %V") },
    { "mouth", CLASS_THING, "mouth", NULL, VALUE_RIVER, 0, 0, NULL, FORMS("S:%E flows into %V", "S:%E ends in %V", "D:into which river does %E flow", "D:what does %E flow into", "D:where does %E end", "D:into what does %E flow", "E:into which river %E flows", "E:where %E ends", "N:the river into which %E flows", "R:which %T flows into %V", "Q:which %T flows into %V") },
    { "river_town", CLASS_THING, "main town|largest town", NULL, VALUE_TOWN, 0, 0, NULL, FORMS("S:%E flows through %V", "D:through which town does %E flow", "D:which town lies on %E", "E:through which town %E flows", "N:the town on %E", "R:which %T flows through %V", "Q:which %T flows through %V") },
    { "bridges", CLASS_COUNT, "bridges", NULL, VALUE_COUNT, 2, 190, NULL, FORMS("S:%V bridges cross %E", "D:how many bridges cross %E", "E:how many bridges cross %E", "N:the number of bridges across %E", "D:how many bridges lead across %E") },
    { "river_depth", CLASS_MEASURE, "depth", "deep", VALUE_MEASURE, 2, 40, "metres", NULL },
    { "river_region", CLASS_PLACE, "region|region|area", NULL, VALUE_REGION, 0, 0, NULL, FORMS("S:%E flows through %V", "D:through which region does %E flow", "E:through which region %E flows") },
    { "fish", CLASS_THING, "most common fish|fish", NULL, VALUE_WORD, 0, 0, FISHES, FORMS("D:which fish lives in %E", "S:the fish that lives in %E is the %V", "N:the fish that lives in %E", "E:which fish lives in %E") },
    /* person */
    { "born", CLASS_EVENT, "birth", "born", VALUE_YEAR, 1840, 2004, NULL, FORMS("D:what is %S year of birth", "D:what is %S birth year", "N:%S birth year", "N:the birth year of %E", "N:%S year of birth", "K:%E birth year", "S:%E came into the world in %V", "D:when did %E come into the world") },
    { "birthplace", CLASS_THING, "birthplace|birthplace|place of birth|home town", NULL, VALUE_TOWN, 0, 0, NULL, FORMS("S:%E was born in %V", "S:%E comes from %V", "D:where was %E born", "D:in which town was %E born", "D:where does %E come from", "E:where %E was born", "E:in which town %E was born", "E:where %E comes from", "N:the town where %E was born", "R:who was born in %V", "R:who comes from %V", "Q:who was born in %V") },
    { "profession", CLASS_THING, "profession|profession|job|occupation", NULL, VALUE_WORD, 0, 0, PROFESSIONS, FORMS("S:%E works as a %V", "S:%E is a %V", "S:%E earns a living as a %V", "D:what does %E do for a living", "D:as what does %E work", "D:what does %E work as", "E:what %E does for a living", "E:as what %E works", "N:the work of %E") },
    { "hobby", CLASS_THING, "hobby|hobby|pastime", NULL, VALUE_WORD, 0, 0, HOBBIES, FORMS("S:in free hours, %E likes %V", "D:what does %E like in free hours", "D:what does %E do for fun", "E:what %E does for fun") },
    { "studied", CLASS_THING, "place of study|alma mater|university", NULL, VALUE_UNIVERSITY, 0, 0, NULL, FORMS("S:%E studied at %V", "D:where did %E study", "D:at which university did %E study", "E:where %E studied", "E:at which university %E studied", "N:the university where %E studied", "R:who studied at %V", "Q:who studied at %V") },
    { "spouse", CLASS_THING, "spouse|spouse|partner", NULL, VALUE_PERSON, 0, 0, NULL, FORMS("S:%E is married to %V", "S:%E married %V", "D:to whom is %E married", "D:who is %E married to", "D:whom did %E marry", "E:to whom %E is married", "E:whom %E married", "N:the person whom %E married", "R:who is married to %V", "Q:who is married to %V") },
    { "employer", CLASS_THING, "employer|employer|firm", NULL, VALUE_COMPANY, 0, 0, NULL, FORMS("S:%E works for %V", "S:%E is employed by %V", "D:for whom does %E work", "D:for which company does %E work", "E:for which company %E works", "N:the company for which %E works", "R:who works for %V", "Q:who works for %V") },
    { "children", CLASS_COUNT, "children", NULL, VALUE_COUNT, 1, 9, NULL, NULL },
    { "plays", CLASS_THING, "favourite instrument|instrument", NULL, VALUE_WORD, 0, 0, "piano|violin|flute|guitar|drum|trumpet|cello|harp|organ|clarinet|oboe|lute|horn|accordion", FORMS("S:%E plays the %V", "D:what instrument does %E play", "D:which instrument does %E play", "E:which instrument %E plays", "N:the instrument that %E plays") },
    /* region */
    { "capital", CLASS_THING, "capital|capital|capital town", NULL, VALUE_TOWN, 0, 0, NULL, FORMS("D:which town is the capital of %E", "D:what town is %S capital", "E:which town is the capital of %E", "N:the town that is the capital of %E") },
    { "governor", CLASS_ROLE, "governor", NULL, VALUE_PERSON, 0, 0, NULL, FORMS("S:%V governs %E", "S:%E is governed by %V", "D:who governs %E", "E:who governs %E", "R:which %T does %V govern") },
    { "region_inhabitants", CLASS_COUNT, "inhabitants|inhabitants|residents|people", NULL, VALUE_COUNT, 9000, 9000000, NULL, FORMS("S:%V people live in %E", "T:%V people lived in %E%Q", "T:the population of %E was %V%Q", "D:how many people live in %E", "D:what is the population of %E", "D:how many people lived in %E%Q", "N:the population of %E%Q", "E:how many people live in %E", "K:population of %E%Q") },
    { "region_area", CLASS_MEASURE, "area", "large", VALUE_MEASURE, 200, 42000, "square kilometres", FORMS("S:%E covers %V", "D:how many square kilometres does %E cover", "D:what area does %E cover", "E:what area %E covers") },
    { "highest_mountain", CLASS_THING, "highest mountain|highest peak", NULL, VALUE_MOUNTAIN, 0, 0, NULL, FORMS("D:which mountain is the highest in %E", "E:which mountain is the highest in %E", "N:the highest mountain in %E") },
    { "flower", CLASS_THING, "flower|national flower|state flower", NULL, VALUE_WORD, 0, 0, PLANTS, NULL },
    { "flag_colour", CLASS_THING, "flag colour|colour of the flag", NULL, VALUE_COLOUR, 0, 0, COLOURS, FORMS("S:the flag of %E is %V", "D:what colour is the flag of %E", "E:what colour the flag of %E is", "N:the colour of the flag of %E") },
    { "villages", CLASS_COUNT, "villages|villages|towns and villages", NULL, VALUE_COUNT, 4, 700, NULL, NULL },
    /* instrument */
    { "inventor", CLASS_ROLE, "inventor", NULL, VALUE_PERSON, 0, 0, NULL, FORMS("S:%V invented %E", "S:%E was invented by %V", "D:who invented %E", "D:by whom was %E invented", "E:who invented %E", "E:by whom %E was invented", "N:the person who invented %E", "R:what did %V invent", "R:which %T did %V invent", "Q:which %T %V invented") },
    { "invented", CLASS_EVENT, "invention", "invented|invented|built for the first time", VALUE_YEAR, 1300, 2000, NULL, NULL },
    { "material", CLASS_THING, "material", NULL, VALUE_WORD, 0, 0, MATERIALS, FORMS("S:%E is made of %V", "S:%E is built from %V", "D:what is %E made of", "D:of which material is %E made", "E:what %E is made of", "E:of which material %E is made", "N:the material of which %E is made", "R:which %T is made of %V") },
    { "strings", CLASS_COUNT, "strings", NULL, VALUE_COUNT, 2, 48, NULL, NULL },
    { "instrument_length", CLASS_MEASURE, "length", "long", VALUE_MEASURE, 15, 290, "cm", NULL },
    { "origin", CLASS_THING, "place of origin|home|town of origin", NULL, VALUE_TOWN, 0, 0, NULL, FORMS("S:%E comes from %V", "D:where does %E come from", "E:where %E comes from", "N:the town from which %E comes") },
    /* museum */
    { "museum_director", CLASS_ROLE, "director|director|head", NULL, VALUE_PERSON, 0, 0, NULL, FORMS("S:%V leads %E", "S:%E is led by %V", "D:who leads %E", "D:who runs %E", "E:who leads %E", "R:which %T does %V lead") },
    { "opened", CLASS_EVENT, "opening", "opened|opened|opened to visitors", VALUE_YEAR, 1780, 2019, NULL, FORMS("S:%E opened its doors in %V", "D:when did %E open its doors", "E:when %E opened its doors", "N:the opening year of %E") },
    { "visitors", CLASS_COUNT, "visitors|visitors|guests", NULL, VALUE_COUNT, 900, 900000, NULL, FORMS("S:%V people visit %E each year", "T:%V people visited %E%Q", "D:how many people visit %E", "D:how many people visited %E%Q", "D:how many people came to %E%Q", "E:how many people visited %E%Q", "N:the number of people who visited %E%Q") },
    { "architect", CLASS_ROLE, "architect", NULL, VALUE_PERSON, 0, 0, NULL, FORMS("S:%V designed %E", "S:%E was designed by %V", "D:who designed %E", "D:by whom was %E designed", "E:who designed %E", "R:which %T did %V design", "Q:which %T %V designed") },
    { "museum_town", CLASS_PLACE, "town|town|city|place", NULL, VALUE_TOWN, 0, 0, NULL, NULL },
    { "paintings", CLASS_COUNT, "paintings|paintings|pictures", NULL, VALUE_COUNT, 12, 4000, NULL, FORMS("S:%E shows %V paintings", "D:how many paintings does %E show", "E:how many paintings %E shows") },
    { "closing_day", CLASS_THING, "closing day", NULL, VALUE_WORD, 0, 0, WEEKDAYS, FORMS("S:%E is closed on %V", "D:on which day is %E closed", "E:on which day %E is closed", "N:the day on which %E is closed") },
    /* mountain */
    { "height", CLASS_MEASURE, "height", "high", VALUE_MEASURE, 310, 6900, "metres", FORMS("S:%E rises to %V", "D:how many metres high is %E", "D:how tall is %E", "E:how many metres high %E is", "E:how tall %E is") },
    { "first_climber", CLASS_ROLE, "first climber", NULL, VALUE_PERSON, 0, 0, NULL, FORMS("S:%V was the first to climb %E", "S:%E was first climbed by %V", "D:who was the first to climb %E", "D:who climbed %E first", "E:who was the first to climb %E", "N:the person who first climbed %E", "R:which %T was first climbed by %V") },
    { "first_climbed", CLASS_EVENT, "first climb", "first climbed|climbed for the first time", VALUE_YEAR, 1780, 1990, NULL, NULL },
    { "mountain_region", CLASS_PLACE, "region|region|area", NULL, VALUE_REGION, 0, 0, NULL, NULL },
    { "rock", CLASS_THING, "rock|main rock|kind of rock", NULL, VALUE_WORD, 0, 0, ROCKS, FORMS("S:%E consists of %V", "D:of which rock does %E consist", "E:of which rock %E consists") },
    { "hut", CLASS_THING, "mountain hut|hut", NULL, VALUE_NAME, 0, 0, NULL, NULL },
};
const int n_relation = (int)ARRAY_LEN(relation_table);

const struct relation *relation_named(const char *key)
{
    for (int i = 0; i < n_relation; i++)
        if (!strcmp(relation_table[i].key, key))
            return &relation_table[i];
    return NULL;
}

/* Which rows belong to a type is found by the key of the first. */
const struct type_info type_table[N_TYPE] = {
    [TYPE_UNIVERSITY] = { "university", "at", 0, 15 }, [TYPE_TOWN] = { "town", "in", 15, 10 }, [TYPE_COMPANY] = { "company", "at", 25, 10 }, [TYPE_RIVER] = { "river", "on", 35, 8 },
    [TYPE_PERSON] = { "person", "of", 43, 9 }, [TYPE_REGION] = { "region", "in", 52, 8 }, [TYPE_INSTRUMENT] = { "instrument", "on", 60, 6 }, [TYPE_MUSEUM] = { "museum", "at", 66, 7 },
    [TYPE_MOUNTAIN] = { "mountain", "on", 73, 6 }, [TYPE_CLUB] = { "club", "at", 0, 0 }, [TYPE_SHIP] = { "ship", "on", 0, 0 }, [TYPE_SCHOOL] = { "school", "at", 0, 0 }, [TYPE_BRIDGE] = { "bridge", "on", 0, 0 },
    [TYPE_HOSPITAL] = { "hospital", "at", 0, 0 }, [TYPE_THEATRE] = { "theatre", "at", 0, 0 }, [TYPE_LIBRARY] = { "library", "at", 0, 0 }, [TYPE_LAKE] = { "lake", "on", 0, 0 }, [TYPE_FESTIVAL] = { "festival", "at", 0, 0 },
    [TYPE_NEWSPAPER] = { "newspaper", "at", 0, 0 }, [TYPE_AIRPORT] = { "airport", "at", 0, 0 }, [TYPE_HOTEL] = { "hotel", "at", 0, 0 },
};
