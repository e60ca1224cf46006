/* messages.c — the table of messages: English, German. The order of what a format takes is the same in all columns.
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/messages.h"
#include "cli/cli.h"

#include <stdlib.h>
#include <string.h>

const struct message MESSAGES[] = {
    /* help of all commands */
    { "Teaches a local language model the facts of a document, on this computer.", "Bringt einem Sprachmodell auf diesem Rechner die Fakten eines Dokuments bei." },
    { "New here?  ilab init --non-interactive, put a qna.yaml below taxonomy/knowledge/,\n  then: ilab diff, ilab generate, ilab train, ilab chat.",
      "Neu hier?  ilab init --non-interactive, eine qna.yaml unter taxonomy/knowledge/ ablegen,\n  dann: ilab diff, ilab generate, ilab train, ilab chat." },
    { "Options:", "Optionen:" },
    { "Commands:", "Befehle:" },
    { "configuration file; DEFAULT: none", "Konfigurationsdatei; DEFAULT: keine" },
    { "verdicts, wording and exit codes of InstructLab 0.14 or 0.26", "Urteile, Wortlaut und Exitcodes von InstructLab 0.14 oder 0.26" },
    { "show the version", "die Version zeigen" },
    { "show this message", "diese Hilfe zeigen" },
    { "`ilab GROUP` lists a group, `ilab COMMAND --help` explains a command with examples. These also work\nwithout their group:",
      "`ilab GRUPPE` listet eine Gruppe, `ilab BEFEHL --help` erklärt einen Befehl mit Beispielen. Diese gehen auch\nohne ihre Gruppe:" },
    { "`ilab %s COMMAND --help` explains a command.", "`ilab %s BEFEHL --help` erklärt einen Befehl." },
    { "Show this message and exit.", "Diese Hilfe zeigen." },
    /* groups */
    { "Settings.", "Einstellungen." },
    { "What is to be taught.", "Was beigebracht werden soll." },
    { "Documents and training data.", "Dokumente und Trainingsdaten." },
    { "Get, train, ask, measure and serve models.", "Modelle holen, trainieren, fragen, messen und anbieten." },
    { "Runs in the background.", "Läufe im Hintergrund." },
    { "This machine.", "Dieser Rechner." },
    /* commands */
    { "Set up a configuration, an example taxonomy and the starter model.", "Konfiguration, Beispiel-Taxonomie und Startmodell anlegen." },
    { "Print the settings that hold, each with its meaning and default.", "Die geltenden Einstellungen zeigen, jede mit Bedeutung und Vorgabe." },
    { "Open the configuration in $EDITOR; it is checked before it replaces the old one.", "Die Konfiguration in $EDITOR öffnen; sie wird geprüft, bevor sie die alte ersetzt." },
    { "Turn a configuration of InstructLab into this program's, or into the other layout; can be undone.",
      "Eine Konfiguration von InstructLab übernehmen oder in die andere Form bringen; umkehrbar." },
    { "List what changed in the taxonomy and check it, with a remedy for every problem.", "Zeigen, was sich in der Taxonomie geändert hat, und prüfen; mit Abhilfe zu jedem Problem." },
    { "List the leaves: state, kind, version, counts, author.", "Die Blätter auflisten: Zustand, Art, Version, Anzahlen, Verfasser." },
    { "Show the leaves as a tree.", "Die Blätter als Baum zeigen." },
    { "Make a leaf from a document: contexts, attribution, and questions that a model proposes.", "Aus einem Dokument ein Blatt machen: Kontexte, Herkunft und Fragen, die ein Modell vorschlägt." },
    { "Check single qna.yaml files, or what an editor pipes in.", "Einzelne qna.yaml prüfen, oder was ein Editor hineinreicht." },
    { "Write training data from the taxonomy's changed leaves and their documents.", "Trainingsdaten aus den geänderten Blättern und ihren Dokumenten schreiben." },
    { "Training data that is here, newest run first.", "Vorhandene Trainingsdaten, neueste zuerst." },
    { "Bring a model into models/: the starter, a file, an address, or OWNER/NAME of Hugging Face.",
      "Ein Modell nach models/ holen: das Startmodell, eine Datei, eine Adresse oder OWNER/NAME von Hugging Face." },
    { "Teach the model the generated data; shows the remaining time, can be stopped and resumed.",
      "Dem Modell die erzeugten Daten beibringen; zeigt die Restzeit, kann angehalten und fortgesetzt werden." },
    { "Show how the base and the taught model answer the seed questions.", "Zeigen, wie das alte und das neue Modell die Ausgangsfragen beantworten." },
    { "Talk to a model, or ask it one question.", "Mit einem Modell sprechen oder ihm eine Frage stellen." },
    { "Serve a model to OpenAI-style clients on this computer.", "Ein Modell für Programme anbieten, die OpenAIs Schnittstelle sprechen." },
    { "Continue a raw text, without chat template.", "Einen Text fortsetzen, ohne Chat-Vorlage." },
    { "Mean negative log-likelihood of a text.", "Mittlere negative Log-Likelihood eines Textes." },
    { "Closed-book questions: what it recalls, admits not to know, and has kept.", "Fragen ohne Nachschlagen: was es weiß, was es zugibt nicht zu wissen, was es behalten hat." },
    { "Models that are here: names, sizes, places.", "Vorhandene Modelle: Namen, Größen, Orte." },
    { "What a model holds: architecture, sizes, tensor types, memory, limits, metadata.", "Was ein Modell enthält: Architektur, Größen, Tensortypen, Speicher, Grenzen, Metadaten." },
    { "Hugging Face directory to GGUF, and back; adapters too.", "Hugging-Face-Ordner zu GGUF und zurück; auch Adapter." },
    { "Write the generated data and a ready configuration for a trainer on a GPU.", "Die erzeugten Daten und eine fertige Konfiguration für ein Trainingsprogramm auf einer GPU schreiben." },
    { "Show the loss and the learning rate of a training run.", "Verlust und Lernrate eines Trainingslaufs zeigen." },
    { "Write a model with smaller (or other) weights.", "Ein Modell mit kleineren (oder anderen) Gewichten schreiben." },
    { "Delete a model's file or folder, after a question.", "Datei oder Ordner eines Modells löschen, nach Rückfrage." },
    { "Runs in the background and how they ended.", "Läufe im Hintergrund und wie sie endeten." },
    { "Follow the log of a run in the background; Ctrl-C only stops following.", "Dem Protokoll eines Laufs folgen; Strg-C beendet nur das Folgen." },
    { "End a run in the background; it saves first, and the same command goes on later.", "Einen Lauf beenden; er sichert zuvor, derselbe Befehl macht später weiter." },
    { "Remove runs that have ended from the list.", "Beendete Läufe aus der Liste entfernen." },
    { "This machine as the program sees it: processor, kernels, memory, disk.", "Dieser Rechner, wie das Programm ihn sieht: Prozessor, Rechenkerne, Speicher, Platte." },
    { "The machine's limits, and how near a model comes to them.", "Die Grenzen des Rechners und wie nahe ein Modell ihnen kommt." },
    { "Print the script with which a shell completes ilab's commands and options.", "Das Skript ausgeben, mit dem eine Shell Befehle und Optionen ergänzt." },
    /* usage */
    { "Try '%s --help' for help.", "'%s --help' hilft weiter." },
    { "Error: ", "Fehler: " },
    { "No such command '%s'.", "Den Befehl '%s' gibt es nicht." },
    { "this program has no `ilab %s%s%s`: %s", "dieses Programm hat kein `ilab %s%s%s`: %s" },
    { "nothing is looked up while a model answers, it is taught: `ilab data ingest` shows documents as text, `ilab generate` and `ilab train` teach them",
      "es schlägt beim Antworten nichts nach, es lehrt: `ilab data ingest` zeigt Dokumente als Text, `ilab generate` und `ilab train` lehren sie" },
    { "nothing is sent anywhere: `ilab model list` names the file, `ilab model convert` writes a Hugging Face folder of it",
      "es schickt nichts fort: `ilab model list` nennt die Datei, `ilab model convert` schreibt einen Hugging-Face-Ordner daraus" },
    { " Did you mean '%s'?", " Meinten Sie '%s'?" },
    { "No such option: %s", "Die Option %s gibt es nicht." },
    { "No such option: %s Did you mean --%s?", "Die Option %s gibt es nicht. Meinten Sie --%s?" },
    { "Option '%s' requires an argument", "Option '%s' braucht einen Wert" },
    { "Option '%s' does not take a value", "Option '%s' nimmt keinen Wert" },
    { "Option '%s' may be given %d times at most", "Option '%s' darf höchstens %d-mal stehen" },
    { "Got unexpected extra argument (%s)", "Ein Argument zu viel (%s)" },
    { "Invalid value for '%s': '%s' is not one of: %s", "Ungültiger Wert für '%s': '%s' ist keines von: %s" },
    { "Invalid value for '%s': '%s' is not a valid integer", "Ungültiger Wert für '%s': '%s' ist keine ganze Zahl" },
    { "Invalid value for '%s': %s is not in the range %.0f to %.0f", "Ungültiger Wert für '%s': %s liegt nicht zwischen %.0f und %.0f" },
    { "Invalid value for '%s': '%s' is not a valid number", "Ungültiger Wert für '%s': '%s' ist keine Zahl" },
    { "Invalid value for '%s': %s is not in the range %g to %g", "Ungültiger Wert für '%s': %s liegt nicht zwischen %g und %g" },
    { "Invalid value for '%s': '%s' is neither true nor false", "Ungültiger Wert für '%s': '%s' ist weder true noch false" },
    /* configuration */
    { "`%s` does not exists, please run `ilab init` or point to a valid configuration file using `--config=<path>`.",
      "`%s` gibt es nicht: bitte `ilab init` aufrufen oder mit `--config=<Pfad>` eine Konfiguration nennen." },
    { "`%s` does not exist or is not a readable file.\nPlease run `ilab config init` or point to a valid configuration file using `--config=<path>`.",
      "`%s` gibt es nicht oder ist nicht lesbar.\nBitte `ilab config init` aufrufen oder mit `--config=<Pfad>` eine Konfiguration nennen." },
    { "%d errors in %s:\n", "%d Fehler in %s:\n" },
    { "the environment", "der Umgebung" },
    { "unknown key '%s': did you mean '%s'?", "unbekannter Schlüssel '%s': meinten Sie '%s'?" },
    { "unknown key '%s': `ilab config show --all` lists the keys", "unbekannter Schlüssel '%s': `ilab config show --all` zeigt alle" },
    { "%s: '%s' is neither true nor false", "%s: '%s' ist weder true noch false" },
    { "%s: '%s' is not a valid integer", "%s: '%s' ist keine ganze Zahl" },
    { "%s: '%s' is not a valid number", "%s: '%s' ist keine Zahl" },
    { "%s: %s is not in the range %.0f to %.0f", "%s: %s liegt nicht zwischen %.0f und %.0f" },
    { "%s: %s is not in the range %g to %g", "%s: %s liegt nicht zwischen %g und %g" },
    { "%s: '%s' is not one of: %s", "%s: '%s' ist keines von: %s" },
    { "The old configuration is kept as `%s%s`.\n", "Die alte Konfiguration liegt nun in `%s%s`.\n" },
    { "Nothing was changed.\n", "Es wurde nichts geändert.\n" },
    { "`%s` is valid and was changed.\n", "`%s` ist gültig und wurde geändert.\n" },
    /* init */
    { "Welcome to ilab. It sets up a configuration, a taxonomy and a model %s.\nPress Enter to take what stands in brackets.\n",
      "Willkommen bei ilab. Es legt Konfiguration, Taxonomie und Modell an: %s.\nDie Eingabetaste nimmt, was in Klammern steht.\n" },
    { "in this folder", "in diesem Ordner" },
    { "for your user", "für Ihren Benutzer" },
    { "Found config.yaml in the current directory, do you still want to continue?", "Hier liegt schon eine config.yaml. Trotzdem weitermachen?" },
    { "Existing config file was found in:\n    %s\n", "Es gibt schon eine Konfiguration:\n    %s\n" },
    { "Do you still want to continue?", "Trotzdem weitermachen?" },
    { "Path to taxonomy repo", "Ordner der Taxonomie" },
    { "`%s` seems to not exist or is empty. Should I clone %s for you?", "`%s` gibt es nicht oder ist leer. Soll %s geklont werden?" },
    { "Path to your model", "Datei des Modells" },
    { "We have detected the %s profile as an exact match for your system.\n", "Das Profil %s passt genau zu diesem Rechner.\n" },
    { "Cloning %s...\n", "%s wird geklont...\n" },
    { "Generating config file:\n    %s\n", "Konfiguration wird geschrieben:\n    %s\n" },
    { "Generating `%s` in the current directory...\n", "`%s` wird in diesem Ordner geschrieben...\n" },
    { "Initialization completed successfully! You're ready to start using `ilab`. Enjoy!\n", "Alles ist eingerichtet, `ilab` ist bereit. Viel Freude!\n" },
    { "Initialization completed successfully, you're ready to start using `ilab`. Enjoy!\n", "Alles ist eingerichtet, `ilab` ist bereit. Viel Freude!\n" },
    /* runs in the background */
    { "%s runs in the background as %s.\nIts log: %s\n\n  ilab process attach %.8s   follow it (Ctrl-C only stops following)\n  ilab process stop %.8s     end it; what was done is saved\n",
      "%s läuft im Hintergrund als %s.\nProtokoll: %s\n\n  ilab process attach %.8s   folgen (Strg-C beendet nur das Folgen)\n  ilab process stop %.8s     beenden; was getan ist, wird gesichert\n" },
    { "No processes found in registry\n", "Es gibt keine Läufe.\n" },
    { "The run has ended: %s, exit code %d.\n", "Der Lauf ist zu Ende: %s, Exitcode %d.\n" },
    { "\nNo longer following; the run goes on. `ilab process stop %.8s` ends it.\n", "\nDer Lauf geht weiter. `ilab process stop %.8s` beendet ihn.\n" },
    { "%s has ended already.\n", "%s ist schon zu Ende.\n" },
    { "%d runs that have ended were removed from the list.\n", "%d beendete Läufe wurden aus der Liste entfernt.\n" },
    /* results of diff, generate, train, chat, fix */
    { "Generating synthetic data using '%s' model, taxonomy:'%s' against %s\n", "Trainingsdaten entstehen mit dem Modell '%s' aus der Taxonomie '%s'; %s\n" },
    { "Synthesizing new instructions. If you aren't satisfied with the generated instructions, interrupt training (Ctrl-C) and try adjusting your YAML files. Adding more examples may help.\n",
      "Fragen und Antworten werden geschrieben. Wer mit ihnen nicht zufrieden ist: Strg-C, die YAML-Dateien ändern; mehr Beispiele helfen.\n" },
    { "Stopped. What was made is kept in '%s'; run the same command again to go on.\n",
      "Angehalten. Was fertig ist, liegt in '%s'; derselbe Befehl macht weiter.\n" },
    { "No leaf in '%s' is new or differs from '%s': `ilab taxonomy list` shows them; --taxonomy-base empty takes every leaf.\n",
      "Kein Blatt in '%s' ist neu oder anders als '%s': `ilab taxonomy list` zeigt sie; --taxonomy-base empty nimmt alle.\n" },
    { "Trained %lld steps in %s (%.0f tokens/s)", "%lld Schritte in %s trainiert (%.0f Token/s)" },
    { "This run was complete already: %lld steps in %s", "Dieser Lauf war schon fertig: %lld Schritte in %s" },
    { "; loss %.3f -> %.3f", "; Verlust %.3f -> %.3f" },
    { "; on the test questions %.3f -> %.3f", "; an den Testfragen %.3f -> %.3f" },
    { "Adapter: %s  (use it with --adapter)\n", "Adapter: %s  (mit --adapter benutzen)\n" },
    { "Save trained model to %s\n", "Das trainierte Modell liegt in %s\n" },
    { "\nWhat to do next:\n", "\nSo geht es weiter:\n" },
    { "  ilab chat --model %s                 ask it\n  ilab serve --model-path %s           let other programs ask it\n",
      "  ilab chat --model %s                 es fragen\n  ilab serve --model-path %s           andere Programme fragen lassen\n" },
    { "  ilab chat --model %s --adapter %s    ask it\n", "  ilab chat --model %s --adapter %s    es fragen\n" },
    { "  ilab model evaluate --benchmark quiz --model %s%s%s --input-questions FILE   count right answers\n",
      "  ilab model evaluate --benchmark quiz --model %s%s%s --input-questions DATEI   richtige Antworten zählen\n" },
    { "  ilab model plot %s                   the curves (also %s/loss.svg)\n", "  ilab model plot %s                   die Kurven (auch %s/loss.svg)\n" },
    { "The loss on the test questions rose: try fewer --num-epochs or a lower --learning-rate.\n",
      "Der Verlust an den Testfragen ist gestiegen: weniger --num-epochs oder eine kleinere --learning-rate versuchen.\n" },
    { "  %lld steps, %lld tokens; too little memory is free to measure the time\n",
      "  %lld Schritte, %lld Token; zum Messen der Zeit ist zu wenig Speicher frei\n" },
    { "  %lld steps, %lld tokens, %.0f tokens/s (%.0f %% of this machine's FP32 peak): about %s, until %s\n",
      "  %lld Schritte, %lld Token, %.0f Token/s (%.0f %% des FP32-Höchstwerts dieses Rechners): etwa %s, bis %s\n" },
    { "  %.0f Wh by the processor's own count\n", "  %.0f Wh nach der Zählung des Prozessors\n" },
    { "There is an unfinished run in '%s': step %lld of %lld, %s of work. Go on with it? [Y/n] ",
      "In '%s' liegt ein unfertiger Lauf: Schritt %lld von %lld, %s Arbeit. Damit weitermachen? [J/n] " },
    { "The run has ended; its exit code is not known.\n", "Der Lauf ist zu Ende; sein Exitcode ist nicht bekannt.\n" },
    { "It was told to stop and still runs: `ilab process attach %.8s` follows it, `ilab process stop --kill` ends it at once\n",
      "Er soll enden und läuft noch: `ilab process attach %.8s` folgt ihm, `ilab process stop --kill` beendet ihn sofort\n" },
    { "Make these changes? [y/N] ", "Diese Änderungen machen? [j/N] " },
    { "  written; the old text is in %s\n", "  geschrieben; der alte Text liegt in %s\n" },
    { "There is no command %s. /h lists the commands.", "Den Befehl %s gibt es nicht. /h nennt die Befehle." },
    { "Welcome to InstructLab Chat w/ %.120s (type /h for help)", "Willkommen im Gespräch mit %.120s (/h: Hilfe)" },
    { "elapsed %.3f seconds", "nach %.3f Sekunden" },
    { "%d document in a repository elsewhere is not at hand and not checked: `ilab taxonomy diff --documents` fetches and checks.\n",
      "%d Dokument in einem fremden Repositorium liegt nicht vor und ist nicht geprüft: `ilab taxonomy diff --documents` holt und prüft es.\n" },
    { "%d documents in a repository elsewhere are not at hand and not checked: `ilab taxonomy diff --documents` fetches and checks.\n",
      "%d Dokumente in fremden Repositorien liegen nicht vor und sind nicht geprüft: `ilab taxonomy diff --documents` holt und prüft sie.\n" },
    { "Taxonomy in %s is valid :)", "Die Taxonomie in %s ist gültig :)" },
    { "Taxonomy in /%.*s/ is valid :)", "Die Taxonomie in /%.*s/ ist gültig :)" },
    { "Reading taxonomy failed with the following error: ", "Die Taxonomie hat Fehler: " },
    { "Generating dataset failed with the following error: ", "Es entstehen keine Trainingsdaten: " },
    { "Training failed: ", "Das Training ist gescheitert: " },
    { "Dry run failed: ", "Der Probelauf ist gescheitert: " },
    { "Executing chat failed with: ", "Das Gespräch ist gescheitert: " },
    { "Left for you:\n", "Das bleibt für Sie:\n" },
    /* labels of progress lines */
    { "finding facts", "Fakten finden" },
    { "checking facts", "Fakten prüfen" },
    { "reading answers", "Antworten lesen" },
    { "statements", "Aussagen" },
    { "writing questions", "Fragen schreiben" },
    { "checking questions", "Fragen prüfen" },
    { "weighing questions", "Fragen abwägen" },
    { "a second look", "ein zweiter Blick" },
    { "asking about nobody", "nach niemandem fragen" },
    { "asking what is not said", "nach Ungesagtem fragen" },
    { "checking what is not said", "Ungesagtes prüfen" },
    { "own questions", "eigene Fragen" },
    { "own answers", "eigene Antworten" },
    { "neighbours", "Nachbarn" },
    { "neighbours' answers", "Antworten der Nachbarn" },
    { "training", "Training" },
    { "encoding", "Kodieren" },
    { "reading documents", "Dokumente lesen" },
    { "proposing questions", "Fragen vorschlagen" },
    { "waiting until it has saved", "warten, bis gesichert ist" },
    { "quiz", "Fragen stellen" },
    { "measuring", "Messen" },
    { "reading the prompt", "die Eingabe lesen" },
    { "requests", "Anfragen" },
    { "Downloading", "Herunterladen" },
    { "left", "übrig" },
};
const int N_MESSAGES = ARRAY_LEN(MESSAGES);

static int german; /* set once, before the command runs */

void messages_init(int plain)
{
    static const char *const VARIABLES[] = { "ILAB_LANG", "LC_ALL", "LC_MESSAGES", "LANG" };
    german = 0;
    for (size_t i = 0; !plain && i < ARRAY_LEN(VARIABLES); i++) {
        const char *v = getenv(VARIABLES[i]);
        if (!v || !*v) continue;
        german = !strncmp(v, "de", 2) && (!v[2] || v[2] == '_' || v[2] == '.' || v[2] == '-');
        break;
    }
    progress_words(german ? tr : NULL);
}

const char *tr(const char *english)
{
    for (int i = 0; german && i < N_MESSAGES; i++)
        if (!strcmp(MESSAGES[i].english, english)) return MESSAGES[i].german;
    return english;
}

/* ---- sentences that are formatted already ---- */
enum { MAX_HOLES = 8 };
struct holes { struct sv v[MAX_HOLES]; };

/* `%s`, `%.*s`, `%lld`, `%2$d` at p: its length, which hole it is (from 0), its last letter; 0: none. */
static size_t conversion(const char *p, int *next, int *which, char *kind)
{
    size_t n = 1;
    if (p[0] != '%' || p[1] == '%') return 0;
    *which = p[1] >= '1' && p[1] <= '9' && p[2] == '$' ? (n = 3, p[1] - '1') : (*next)++;
    while (p[n] && strchr(".*0123456789l", p[n])) n++;
    *kind = p[n];
    return *kind && *which < MAX_HOLES ? n + 1 : 0;
}

static int fits(const char *row, const char *text, int next, struct holes *h)
{
    while (*row) {
        int which;
        char kind;
        const size_t n = conversion(row, &next, &which, &kind);
        if (!n) {
            if (row[0] == '%' && row[1] == '%') row++;
            if (*row++ != *text++) return 0;
            continue;
        }
        struct sv *hole = &h->v[which];
        if (hole->p) { /* it stood before: the same again */
            if (strncmp(text, hole->p, hole->n)) return 0;
            return fits(row + n, text + hole->n, next, h);
        }
        for (size_t k = 0;; k++) {
            *hole = (struct sv){ text, k };
            if (!(kind == 'd' && !k) && fits(row + n, text + k, next, h)) return 1;
            if (!text[k] || (kind == 'd' && (text[k] < '0' || text[k] > '9') && text[k] != '-')) break;
        }
        *hole = (struct sv){ 0 };
        return 0;
    }
    return !*text;
}

static const char *fill(struct arena *mem, const char *row, const struct holes *h)
{
    struct sb b;
    int next = 0;
    sb_init(&b, 1 << 16);
    for (const char *p = row; *p;) {
        int which;
        char kind;
        const size_t n = conversion(p, &next, &which, &kind);
        if (n && h->v[which].p) {
            const char *inner = arena_strndup(mem, h->v[which].p, h->v[which].n);
            sb_addc(&b, inner ? in_german(mem, inner) : ""); /* what a sentence quotes of another one */
        }
        if (!n && p[0] == '%' && p[1] == '%') p++;
        if (!n) sb_addch(&b, *p);
        p += n ? n : 1;
    }
    const char *out = b.failed || !b.p ? NULL : arena_strndup(mem, b.p, b.n);
    sb_release(&b);
    return out;
}

const char *in_german(struct arena *mem, const char *english)
{
    enum { MAX_SENTENCE = 2000 };
    for (int i = 0; *english && strlen(english) < MAX_SENTENCE && i < N_FINDING_MESSAGES; i++) {
        struct holes h = { 0 };
        if (!fits(FINDING_MESSAGES[i].english, english, 0, &h)) continue;
        const char *out = fill(mem, FINDING_MESSAGES[i].german, &h);
        return out ? out : english;
    }
    return english;
}

void message_add(struct sb *b, const char *prefix, const char *english)
{
    struct arena mem;
    arena_init(&mem, 1 << 16);
    sb_addf(b, "%s%s", prefix, words_of_user(&mem, english));
    arena_release(&mem);
}

const char *words_of_user(struct arena *mem, const char *english) { return german ? in_german(mem, english) : english; }
