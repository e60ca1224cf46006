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
        return;
    }
}

const char *tr(const char *english)
{
    for (int i = 0; german && i < N_MESSAGES; i++)
        if (!strcmp(MESSAGES[i].english, english)) return MESSAGES[i].german;
    return english;
}
