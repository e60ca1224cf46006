/* forms.c — the wordings of each class of relation: statements and questions, forwards and backwards.
 *
 * A line is "TAG:template".  Tags in lower case are reserved: they occur in held-out questions only, never in the corpus.
 * A statement is a full sentence without its stop; questions are given without opener and mark.
 * SPDX-License-Identifier: Apache-2.0 */
#include "tools/world/world.h"

#include <ctype.h>
#include <string.h>

static const char *const role_forms[] = {
    "S:the %N of %E is %V", "S:%V is the %N of %E", "S:%S %N is %V", "S:%V serves as %N of %E", "S:%V holds the post of %N at %E",
    "S:%E has %V as %O %N", "S:the post of %N at %E is held by %V", "S:%V works as %N of %E", "S:the office of %N at %E is held by %V",
    "S:%V is %N at %E", "S:the name of the %N of %E is %V", "S:the %N of %E is called %V", "S:%V was appointed %N of %E",
    "S:%V acts as the %N of %E", "S:as %N, %E has %V", "S:the %N at %E is %V", "S:%V fills the post of %N at %E", "S:%S %N is called %V",
    "S:%E employs %V as %N", "S:the current %N of %E is %V", "S:%V has the job of %N at %E", "S:at %E, %V is the %N",
    "D:who is the %N of %E", "D:who is the %N of %E", "D:who is %S %N", "D:who serves as %N of %E", "D:who holds the post of %N at %E", "D:who works as %N at %E",
    "D:who is %N of %E", "D:who acts as the %N of %E", "D:what is the name of the %N of %E", "D:what is the name of %S %N",
    "D:what is the %N of %E called", "D:which person is the %N of %E", "D:which person serves as %N at %E", "D:who has the office of %N at %E",
    "D:who was appointed %N of %E", "D:by whom is the post of %N at %E held", "D:whom does %E have as %O %N", "D:who fills the role of %N at %E",
    "D:who does the job of %N at %E", "D:how is the %N of %E called", "D:who is the %N at %E", "D:who holds the office of %N of %E", "D:who is currently %N of %E",
    "D:whom does %E employ as %N", "D:who is called the %N of %E", "D:what name does the %N of %E have", "D:who has the job of %N at %E",
    "D:which name belongs to the %N of %E", "D:who became %N of %E", "D:what is %S %N called", "D:whom do they call the %N of %E",
    "N:the %N of %E", "N:the %N of %E", "N:%S %N", "N:the name of the %N of %E", "N:the name of %S %N", "N:the %N at %E", "N:the person who serves as %N of %E",
    "N:the holder of the post of %N at %E", "N:the person in the office of %N at %E", "N:the current %N of %E", "N:the full name of the %N of %E",
    "N:the one who works as %N at %E", "N:the person appointed %N of %E", "N:the person who is %N at %E", "N:the %N that %E has",
    "E:who the %N of %E is", "E:who %S %N is", "E:who serves as %N of %E", "E:who holds the post of %N at %E", "E:what the %N of %E is called",
    "E:what the name of %S %N is", "E:which person is %N of %E", "E:who is the %N of %E", "E:who works as %N at %E", "E:who has the office of %N at %E",
    "E:who acts as %N of %E", "E:whom %E has as %O %N", "E:by whom the post of %N at %E is held", "E:what name the %N of %E has",
    "I:the %N of %E is who", "I:%E has whom as %O %N", "I:the post of %N at %E is held by whom", "I:the %N of %E is called what", "I:%S %N is which person",
    "K:%E %N", "K:%N of %E", "K:%E, %N", "K:%N: %E", "K:%E - %N", "K:%N %E", "K:name of %N, %E", "K:%N at %E", "K:%E: name of the %N",
    "F:the %N of %E is", "F:%S %N is", "F:the post of %N at %E is held by", "F:%E has as %O %N", "F:the name of the %N of %E is",
    "R:which %T has %V as %O %N", "R:%V is the %N of which %T", "R:at which %T does %V hold the post of %N", "R:at which %T does %V serve as %N",
    "R:where does %V work as %N", "R:where is %V the %N", "R:what %T is %V the %N of", "R:whose %N is %V", "R:what is the name of the %T that has %V as %O %N",
    "R:which %T has a %N called %V", "R:of which %T is %V the %N", "R:which %T employs %V as %N", "R:where does %V hold the office of %N", "R:which %T did %V become %N of",
    "Q:which %T has %V as %O %N", "Q:at which %T %V serves as %N", "Q:where %V holds the post of %N", "Q:of which %T %V is the %N", "Q:which %T employs %V as %N",
    "Q:where %V works as %N", "Q:whose %N %V is",
    "M:the %T that has %V as %O %N", "M:the %T whose %N is %V", "M:the %T where %V serves as %N", "M:the name of the %T with %V as %N", "M:the %T where %V is %N",
    "Y:is %V the %N of %E", "Y:does %V serve as %N of %E", "Y:is %V %S %N", "Y:is the %N of %E called %V", "Y:does %V hold the post of %N at %E", "Y:does %E have %V as %O %N",
    "G:why is %V the %N of %E", "G:since when has %V been the %N of %E", "G:how did %V become %N of %E", "G:when did %V become %N of %E", "G:why was %V appointed %N of %E",
    "W:what post does %V hold at %E", "W:what is the job of %V at %E", "W:as what does %V work at %E", "W:which office does %V have at %E", "W:what does %V do at %E",
    "d:who occupies the chair of the %N at %E", "d:whose name stands on the door of the %N of %E", "d:which man or woman carries the title of %N at %E", "d:to whom does the desk of the %N of %E belong",
    "n:the signature of the %N of %E in readable letters", "n:the person behind the title of %N at %E", "e:whose hand signs letters as %N of %E", "e:who sits in the chair of the %N at %E",
    NULL };

static const char *const event_forms[] = {
    "S:%E was %P in %V", "S:%E was %P in the year %V", "S:in %V, %E was %P", "S:the year of %S %N is %V", "S:the %N of %E took place in %V",
    "S:the %N of %E dates back to %V", "S:it was in %V that %E was %P", "S:%V is the year in which %E was %P", "S:%S %N took place in %V",
    "S:%V was the year of the %N of %E", "S:%E was %P back in %V", "S:in the year %V, %E was %P", "S:%V is the year of %S %N", "S:the year of the %N of %E was %V",
    "D:when was %E %P", "D:when was %E %P", "D:in which year was %E %P", "D:in what year was %E %P", "D:what year was %E %P", "D:what year was %E %P in", "D:which year was %E %P in",
    "D:when did the %N of %E take place", "D:in which year did the %N of %E take place", "D:in what year did %S %N take place", "D:what is the year of %S %N",
    "D:what was the year of the %N of %E", "D:when was the %N of %E", "D:what is the date of %S %N", "D:to which year does the %N of %E date back",
    "D:which year is the year of %S %N", "D:at what time was %E %P", "D:what is the year in which %E was %P", "D:when exactly was %E %P", "D:in which year was the %N of %E",
    "D:when did they have the %N of %E", "D:which was the year of the %N of %E", "D:when was it that %E was %P", "D:what year did the %N of %E take place in",
    "N:the year of %S %N", "N:the year in which %E was %P", "N:the year when %E was %P", "N:the year of the %N of %E", "N:the date of the %N of %E", "N:the date of %S %N",
    "N:the year %E was %P", "N:%S year of %N", "N:the time of the %N of %E", "N:the year that %E was %P in", "N:the year for the %N of %E", "N:the point in time when %E was %P",
    "E:when %E was %P", "E:in which year %E was %P", "E:in what year %E was %P", "E:what year %E was %P", "E:when the %N of %E took place", "E:when %S %N was",
    "E:in which year the %N of %E took place", "E:which year %E was %P in", "E:when it was that %E was %P", "E:what the year of %S %N is", "E:when exactly %E was %P",
    "I:%E was %P when", "I:%E was %P in which year", "I:%E was %P in what year", "I:the %N of %E took place when", "I:the year of %S %N is what", "I:%S %N was in which year",
    "K:%E %N", "K:%E %P", "K:%E, %N", "K:%E, year of %N", "K:%N of %E", "K:%N year %E", "K:%E: %P in", "K:%P: %E", "K:year of %N, %E", "K:%E %P when", "K:%E %P year",
    "F:%E was %P in", "F:%E was %P in the year", "F:the year of %S %N is", "F:the %N of %E took place in",
    "R:which %T was %P in %V", "R:what %T was %P in %V", "R:in %V, which %T was %P", "R:what is the name of the %T %P in %V", "R:which %T is it that was %P in %V",
    "R:whose %N took place in %V", "R:which %T was %P in the year %V", "R:for which %T is %V the year of %N",
    "Q:which %T was %P in %V", "Q:what %T was %P in %V", "Q:which %T was %P in the year %V", "Q:whose %N took place in %V",
    "M:the %T that was %P in %V", "M:the %T %P in %V", "M:the name of the %T that was %P in the year %V", "M:the %T whose %N was in %V",
    "Y:was %E %P in %V", "Y:was the year of %S %N %V", "Y:did the %N of %E take place in %V", "Y:was it %V when %E was %P", "Y:is %V the year in which %E was %P",
    "G:why was %E %P in %V", "G:who wanted %E to be %P in %V", "G:how was %E %P in %V", "G:what led to the %N of %E in %V", "G:where was %E when it was %P in %V",
    "d:what number does the calendar show for the year that saw %E %P", "d:which year saw %E being %P", "d:how far back in the calendar was %E %P", "d:what year do the old papers give for the %N of %E",
    "n:the number of the year that saw the %N of %E", "n:the calendar year that marks the %N of %E", "e:which year on the calendar saw %E %P", "e:how early %E was %P, as a year",
    NULL };

static const char *const count_forms[] = {
    "S:%E has %V %N", "S:there are %V %N %A %E", "S:the number of %N %A %E is %V", "S:%S number of %N is %V", "S:%E counts %V %N", "S:%V is the number of %N %A %E",
    "S:%E has a total of %V %N", "S:the total number of %N %A %E is %V", "S:%V %N belong to %E", "S:in all, %E has %V %N",
    "T:%E had %V %N%Q", "T:%E had %V %N%Q", "T:there were %V %N %A %E%Q", "T:the number of %N %A %E was %V%Q", "T:in %y, %E had %V %N", "T:%E counted %V %N%Q", "T:in %y there were %V %N %A %E",
    "T:%S number of %N was %V%Q", "T:in %y, the number of %N %A %E was %V", "T:as of %y, %E has %V %N", "T:%E has %V %N (%y)", "T:the number of %N %A %E reached %V%Q",
    "T:in the year %y, %E had %V %N", "T:%V %N belonged to %E%Q", "T:%E had a total of %V %N%Q", "T:%E reported %V %N%Q", "T:%V was the number of %N %A %E%Q",
    "D:how many %N does %E have", "D:how many %N does %E have", "D:how many %N are there %A %E", "D:how many %N has %E", "D:how many %N did %E have%Q", "D:how many %N did %E have%Q", "D:how many %N were there %A %E%Q",
    "D:what is the number of %N %A %E", "D:what was the number of %N %A %E%Q", "D:how large is the number of %N %A %E", "D:how high was the number of %N %A %E%Q",
    "D:what number of %N does %E have", "D:how many %N does %E count", "D:how many %N did %E count%Q", "D:how many %N belong to %E", "D:what is %S number of %N",
    "D:how many %N had %E%Q", "D:how big was the number of %N of %E%Q", "D:how many %N could be found %A %E%Q", "D:what is the total number of %N %A %E",
    "D:how many %N are %A %E", "D:what was %S number of %N%Q", "D:what is the size of the %N of %E", "D:how many %N in total does %E have", "D:how many %N did %E report%Q",
    "D:what is the figure for %N %A %E", "D:how many are the %N of %E", "D:how many %N were %A %E%Q",
    "N:the number of %N %A %E%Q", "N:the number of %N %A %E%Q", "N:%S number of %N%Q", "N:the total number of %N %A %E%Q", "N:the count of %N %A %E%Q", "N:the figure for %N %A %E%Q", "N:the number of %N of %E%Q",
    "N:the number of %N that %E has", "N:the number of %N that %E had%Q", "N:the size of the %N of %E%Q", "N:%S total of %N%Q", "N:the sum of all %N %A %E%Q",
    "E:how many %N %E has", "E:how many %N there are %A %E", "E:how many %N %E had%Q", "E:how many %N there were %A %E%Q", "E:what the number of %N %A %E is",
    "E:what the number of %N %A %E was%Q", "E:how large the number of %N %A %E was%Q", "E:what number of %N %E has", "E:how many %N belong to %E", "E:how many %N are %A %E",
    "E:how many %N %E counted%Q", "E:how high the number of %N %A %E is",
    "I:%E has how many %N", "I:%E had how many %N%Q", "I:the number of %N %A %E is what", "I:there are how many %N %A %E", "I:there were how many %N %A %E%Q",
    "K:%E %N", "K:%E number of %N%Q", "K:%N %A %E%Q", "K:number of %N, %E%Q", "K:%E: %N%Q", "K:%E, %N%Q", "K:%N %E%Q", "K:%E how many %N", "K:%E - number of %N", "K:%N, %E%Q",
    "F:the number of %N %A %E is", "F:the number of %N %A %E%Q was", "F:the total number of %N %A %E is", "F:%S number of %N is",
    "R:which %T has %V %N", "R:which %T had %V %N%Q", "R:what %T has %V %N", "R:what %T counts %V %N", "R:what is the name of the %T with %V %N", "R:which %T counted %V %N%Q",
    "R:for which %T is %V the number of %N", "R:where are there %V %N", "R:where were there %V %N%Q",
    "Q:which %T has %V %N", "Q:which %T had %V %N%Q", "Q:where there were %V %N%Q", "Q:what %T counts %V %N",
    "M:the %T with %V %N", "M:the %T that had %V %N%Q", "M:the name of the %T that has %V %N",
    "Y:does %E have %V %N", "Y:did %E have %V %N%Q", "Y:are there %V %N %A %E", "Y:is the number of %N %A %E %V", "Y:were there %V %N %A %E%Q",
    "G:why does %E have %V %N", "G:why did %E have %V %N%Q", "G:how did %E come to have %V %N", "G:why are there %V %N %A %E",
    "Z:in which year did %E have %V %N", "Z:when did %E have %V %N", "Z:in what year were there %V %N %A %E", "Z:for which year is the number of %N %A %E given as %V", "Z:when was the number of %N %A %E %V",
    "d:what sum do you get when you count the %N of %E%Q", "d:which figure stands beside the %N of %E in the report%Q", "d:what does a list of all %N %A %E add up to%Q", "d:how many names would fill a list of the %N of %E%Q",
    "n:the sum at the foot of the list of %N %A %E%Q", "n:the result of counting the %N of %E%Q", "e:how many names are on the list of %N %A %E%Q", "e:to what sum the %N of %E add up%Q",
    NULL };

static const char *const measure_forms[] = {
    "S:the %N of %E is %V", "S:%S %N is %V", "S:%E has a %N of %V", "S:%E is %V %P", "S:%E is %V %P", "S:%E reaches a %N of %V", "S:%V is the %N of %E", "S:the %N of %E comes to %V",
    "S:the total %N of %E is %V", "S:with regard to %N, %E reaches %V", "S:the %N of %E was measured at %V",
    "D:how %P is %E", "D:how %P is %E", "D:what is the %N of %E", "D:what is %S %N", "D:what %N does %E have", "D:which %N does %E have", "D:which %N does %E reach", "D:how great is the %N of %E",
    "D:what does the %N of %E come to", "D:what is the exact %N of %E", "D:how %P is %E in total", "D:what is the figure for the %N of %E",
    "N:the %N of %E", "N:the %N of %E", "N:%S %N", "N:the exact %N of %E", "N:the figure for the %N of %E", "N:the %N that %E has", "N:the total %N of %E",
    "E:how %P %E is", "E:what the %N of %E is", "E:what %N %E has", "E:what %S %N is", "E:how great the %N of %E is", "E:which %N %E reaches",
    "I:%E is how %P", "I:the %N of %E is what", "I:%E has what %N", "K:%E %N", "K:%N of %E", "K:%E, how %P", "K:%N: %E", "K:%E: %N", "K:%E, %N", "K:%N %E",
    "F:the %N of %E is", "F:%E has a %N of", "F:%S %N is",
    "R:which %T is %V %P", "R:which %T has a %N of %V", "R:what %T is %V %P", "R:what is the name of the %T that is %V %P", "R:whose %N is %V", "R:which %T reaches a %N of %V",
    "Q:which %T is %V %P", "Q:which %T has a %N of %V", "M:the %T that is %V %P", "M:the %T with a %N of %V", "M:the name of the %T with a %N of %V",
    "Y:is %E %V %P", "Y:is the %N of %E %V", "Y:does %E have a %N of %V", "G:why is %E %V %P", "G:why is the %N of %E %V", "G:since when has the %N of %E been %V",
    "d:what would a ruler show for the %N of %E", "d:which figure stands beside the %N of %E in the report", "n:the result of measuring the %N of %E", "e:what a good map says about the %N of %E",
    NULL };

static const char *const thing_forms[] = {
    "S:the %N of %E is %V", "S:the %N of %E is %V", "S:%V is the %N of %E", "S:%S %N is %V", "S:%E has %V as %O %N", "S:as %O %N, %E has %V", "S:%V is known as the %N of %E", "S:the %N that belongs to %E is %V",
    "S:%S %N is known to be %V", "S:the official %N of %E is %V", "S:%E chose %V as %O %N", "S:%V serves as the %N of %E",
    "D:what is the %N of %E", "D:what is the %N of %E", "D:what is %S %N", "D:which %N does %E have", "D:what %N does %E have", "D:what does %E have as %O %N", "D:which is the %N of %E",
    "D:what is known as the %N of %E", "D:what did %E choose as %O %N", "D:what serves as the %N of %E", "D:what is the official %N of %E", "D:which %N belongs to %E", "D:what was %S %N",
    "N:the %N of %E", "N:the %N of %E", "N:%S %N", "N:the %N that belongs to %E", "N:the %N that %E has", "N:the official %N of %E", "N:the current %N of %E",
    "E:what the %N of %E is", "E:what %S %N is", "E:which %N %E has", "E:what %N %E has", "E:what %E has as %O %N", "E:which %N belongs to %E", "E:what is known as the %N of %E",
    "I:the %N of %E is what", "I:%S %N is what", "I:%E has what as %O %N", "I:%E has which %N", "K:%E %N", "K:%N of %E", "K:%E, %N", "K:%N: %E", "K:%E - %N", "K:%N %E", "K:%E: %N",
    "F:the %N of %E is", "F:%S %N is", "F:%E has as %O %N",
    "R:which %T has %V as %O %N", "R:%V is the %N of which %T", "R:whose %N is %V", "R:what is the name of the %T that has %V as %O %N", "R:which %T has the %N %V", "R:of which %T is %V the %N",
    "R:which %T chose %V as %O %N", "Q:which %T has %V as %O %N", "Q:whose %N is %V", "Q:of which %T %V is the %N", "M:the %T whose %N is %V", "M:the %T that has %V as %O %N", "M:the name of the %T with the %N %V",
    "Y:is %V the %N of %E", "Y:does %E have %V as %O %N", "Y:is %S %N %V", "Y:is the %N of %E %V", "G:why is %V the %N of %E", "G:why did %E choose %V as %O %N", "G:since when has %V been the %N of %E",
    "d:what would a guide say about the %N of %E", "d:what comes to mind as the %N of %E", "n:the right word for the %N of %E", "e:what people in the street call the %N of %E",
    NULL };

static const char *const place_forms[] = {
    "S:%E is located in %V", "S:%E lies in %V", "S:%E is in %V", "S:%E can be found in %V", "S:%E is situated in %V", "S:%V is home to %E", "S:%E is based in %V", "S:%E has %O seat in %V",
    "S:%V is the %N where %E is located", "S:the %N of %E is %V", "S:the home of %E is %V", "S:you find %E in %V",
    "D:where is %E", "D:where is %E located", "D:in which %N is %E located", "D:in which %N does %E lie", "D:which %N is %E in", "D:what %N is %E in", "D:where does %E lie", "D:where can %E be found",
    "D:which %N is home to %E", "D:in what %N is %E situated", "D:where is %E situated", "D:what is the %N of %E", "D:in which %N can you find %E", "D:where is %E based", "D:where do you find %E",
    "N:the %N of %E", "N:the location of %E", "N:the place where %E is located", "N:the %N where %E lies", "N:the %N in which %E is located", "N:%S location", "N:the %N that is home to %E",
    "E:where %E is", "E:where %E is located", "E:in which %N %E lies", "E:which %N %E is in", "E:where %E can be found", "E:in what %N %E is situated", "E:which %N is home to %E",
    "I:%E is located where", "I:%E lies in which %N", "I:%E is in what %N", "K:%E location", "K:%E, where", "K:location of %E", "K:%E %N", "K:where %E", "K:%E: %N", "F:%E is located in", "F:%E lies in", "F:the %N of %E is",
    "R:which %T is located in %V", "R:which %T lies in %V", "R:what %T can be found in %V", "R:what is the name of the %T in %V", "Q:which %T is located in %V", "Q:which %T lies in %V", "M:the %T in %V", "M:the %T that lies in %V",
    "Y:is %E located in %V", "Y:does %E lie in %V", "Y:is %E in %V", "G:why is %E located in %V", "G:why does %E lie in %V", "G:since when has %E been in %V",
    "d:to what %N must you travel to see %E", "d:what does the road sign of the %N with %E say", "n:the %N on letters to %E", "e:which %N you must travel to for %E",
    NULL };

/* The plain sentence with which a wrong statement is put right. */
const char *const class_canonical[N_CLASS][2] = {
    { "the %N of %E is %V", NULL }, { "%E was %P in %V", NULL }, { "%E has %V %N", "%E had %V %N%Q" }, { "the %N of %E is %V", NULL }, { "the %N of %E is %V", NULL }, { "%E is located in %V", NULL } };

static const char *const *const class_lines[N_CLASS] = { role_forms, event_forms, count_forms, measure_forms, thing_forms, place_forms };
enum { RELATIONS_MAX = 120 };
static struct forms by_class[N_CLASS][N_FORM][2], by_relation[RELATIONS_MAX][N_FORM][2];
static const struct forms no_forms;

static void sort_lines(const char *const *line, struct forms table[N_FORM][2])
{
    static const char tags[] = "STDNEIKFRQMYGZW";
    for (; line && *line; line++) {
        int reserved = islower((unsigned char)**line) != 0;
        const char *t = strchr(tags, toupper((unsigned char)**line));
        struct forms *f = &table[t - tags][reserved];
        if (f->n < FORMS_MAX)
            f->v[f->n++] = *line + 2;
    }
}

void forms_init(void)
{
    openers_init();
    for (int c = 0; c < N_CLASS; c++)
        sort_lines(class_lines[c], by_class[c]);
    for (int i = 0; i < n_relation && i < RELATIONS_MAX; i++)
        sort_lines(relation_table[i].form, by_relation[i]);
}

const struct forms *class_forms(enum relation_class c, enum form_tag t, int reserved) { return &by_class[c][t][reserved]; }

const struct forms *relation_forms(const struct relation *rel, enum form_tag t, int reserved)
{
    if (rel < relation_table || rel >= relation_table + n_relation)
        return &no_forms;
    return &by_relation[rel - relation_table][t][reserved];
}
