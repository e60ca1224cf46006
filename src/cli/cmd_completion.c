/* cmd_completion.c — `ilab completion bash | zsh | fish`: scripts that complete commands, options and their values, printed
 * from the tables of commands and options. Nothing runs ilab while somebody types.
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/config.h"
#include "cli/process.h"

#include <stdlib.h>
#include <string.h>

static const char *const FILE_ARGS[] = { "FILE", "PATH", "DIR", "CONFIG", "SOURCE", "FILE|DIR", "DIR|FILE", "MODEL" };

static int takes_file(const char *arg)
{
    for (size_t i = 0; arg && i < ARRAY_LEN(FILE_ARGS); i++)
        if (!strcmp(arg, FILE_ARGS[i])) return 1;
    return 0;
}

/* In single quotes for all three shells; fish knows \' inside them, the others end and begin again. */
static void quoted(const char *s, int fish)
{
    putchar('\'');
    for (; *s; s++) {
        if (*s == '\'') fputs(fish ? "\\'" : "'\\''", stdout);
        else if (*s == '\\' && fish) fputs("\\\\", stdout);
        else putchar(*s);
    }
    putchar('\'');
}

/* The values that an option takes, between blanks; "": any. Caller releases. */
static void values_of(const struct opt *o, struct sb *b)
{
    sb_init(b, 1 << 16);
    if (o->choices) sb_addf(b, "%s", o->choices);
    for (int i = 0; o->arg && !strcmp(o->arg, "SECTION.KEY") && i < N_CONFIG_KEYS; i++) {
        const char *name = CONFIG_KEYS[i].name;
        const size_t n = strlen(name);
        int works = config_key_works(&CONFIG_KEYS[i]);
        for (int k = 0; CONFIG_KEYS[i].type == KEY_SECTION && !works && k < N_CONFIG_KEYS; k++)
            works = !strncmp(CONFIG_KEYS[k].name, name, n) && CONFIG_KEYS[k].name[n] == '.' && config_key_works(&CONFIG_KEYS[k]);
        if (works) sb_addf(b, "%s%s", b->n ? " " : "", name);
    }
    if (!b->p) sb_addf(b, "%s", "");
}

/* Row i of the options of a command, with those that all have; NULL: no more. */
static const struct opt *option_at(const struct cmd *c, int i)
{
    int n = 0;
    while (c->opts && c->opts[n].name) n++;
    return i < n ? &c->opts[i] : common_option(c, i - n);
}

/* The names that a command answers to, as a shell pattern (`|`) or a list of quoted words. */
static void names_of(const struct cmd *c, const char *between)
{
    const struct sv g = cmd_group(c);
    if (g.n) printf("'%.*s %s'", SV_ARG(g), cmd_leaf(c));
    if (!g.n || c->group) printf("%s'%s'", g.n ? between : "", c->name);
    for (int k = 0; k < N_ALIASES; k++) { /* `ilab check` takes the options of `ilab diff` */
        char *words[ARRAY_LEN(ALIASES[k].words)];
        int n = 0, used;
        for (; ALIASES[k].words[n]; n++) words[n] = (char *)(uintptr_t)ALIASES[k].words[n];
        if (cmd_find(n, words, &used) == c) printf("%s'%s'", between, ALIASES[k].name);
    }
}

static void group_words(void)
{
    for (int g = 0; g < N_GROUPS; g++) printf("%s%s", g ? " " : "", GROUPS[g].name);
}

static int stands_alone(const struct cmd *c) { return !c->hidden && (c->group || !cmd_group(c).n); }

/* ---- bash ---- */

static void bash_options(const struct cmd *c)
{
    const struct opt *o;
    struct sb b;
    printf("        ");
    names_of(c, "|");
    printf(") opts='");
    for (int i = 0; (o = option_at(c, i)) != NULL; i++) {
        if (o->flags & OPT_HIDDEN) continue;
        printf("--%s ", o->name);
        if (o->alias) printf("-%c ", o->alias);
        if (o->alias2) printf("-%s ", o->alias2);
    }
    printf("--help'");
    if (c->word_choices) printf("; words='%s'", c->word_choices);
    printf("\n            case $prev in\n");
    for (int i = 0; (o = option_at(c, i)) != NULL; i++) {
        if (o->kind < OPT_STR || (o->flags & OPT_HIDDEN) || (!o->choices && takes_file(o->arg))) continue;
        printf("                --%s", o->name);
        if (o->alias) printf("|-%c", o->alias);
        if (o->alias2) printf("|-%s", o->alias2);
        values_of(o, &b);
        printf(") values='%s'; takes=1 ;;\n", b.p);
        sb_release(&b);
    }
    printf("            esac ;;\n");
}

static void bash(void)
{
    printf("# bash completion of ilab: source <(ilab completion bash)\n"
           "_ilab() {\n    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} cmd= opts= values= words= takes= i=1 w\n"
           "    while (( i < COMP_CWORD )); do\n        w=${COMP_WORDS[i]}\n        case $w in\n            --config|--compat) (( i++ )) ;;\n            -*) ;;\n"
           "            *) cmd=${cmd:+$cmd }$w\n               case $cmd in ");
    for (int g = 0; g < N_GROUPS; g++) printf("%s%s", g ? "|" : "", GROUPS[g].name);
    printf(") ;; *) break ;; esac ;;\n        esac\n        (( i++ ))\n    done\n    COMPREPLY=()\n    [[ $cur == = ]] && cur=\n    [[ $prev == = ]] && prev=${COMP_WORDS[COMP_CWORD-2]} # --format=text is three words to bash\n    case $cmd in\n        '') opts='--config --compat --version --help'; words='");
    group_words();
    for (int i = 0; i < N_CMDS; i++)
        if (stands_alone(CMDS[i])) printf(" %s", cmd_leaf(CMDS[i]));
    printf("'\n            case $prev in --compat) values='0.14 0.26'; takes=1 ;; esac ;;\n");
    for (int g = 0; g < N_GROUPS; g++) {
        printf("        %s) opts='--help'; words='", GROUPS[g].name);
        for (int i = 0; i < N_CMDS; i++)
            if (!CMDS[i]->hidden && sv_eq_c(cmd_group(CMDS[i]), GROUPS[g].name)) printf("%s ", cmd_leaf(CMDS[i]));
        printf("' ;;\n");
    }
    for (int i = 0; i < N_CMDS; i++)
        if (!CMDS[i]->hidden) bash_options(CMDS[i]);
    printf("    esac\n"
           "    if [[ -n $takes ]]; then\n        COMPREPLY=($(compgen -W \"$values\" -- \"$cur\"))\n        [[ -n $values ]] || compopt +o default 2>/dev/null\n"
           "    elif [[ $cur == -* ]]; then\n        COMPREPLY=($(compgen -W \"$opts\" -- \"$cur\"))\n"
           "    elif [[ -n $words && $prev != --config ]]; then\n        COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n    fi\n}\ncomplete -o default -F _ilab ilab\n");
}

/* ---- zsh ---- */

/* The text of an _arguments spec: what stands in brackets may hold neither brackets nor a colon without a backslash. */
static void zsh_text(const char *s)
{
    for (; *s; s++) {
        if (strchr("[]:\\", *s)) putchar('\\');
        if (*s == '\'') fputs("'\\''", stdout);
        else putchar(*s);
    }
}

static void zsh_option(const struct opt *o)
{
    char names[3][72];
    int n = 0;
    snprintf(names[n++], sizeof names[0], "--%s", o->name);
    if (o->alias) snprintf(names[n++], sizeof names[0], "-%c", o->alias);
    if (o->alias2) snprintf(names[n++], sizeof names[0], "-%s", o->alias2);
    for (int i = 0; i < n; i++) {
        printf(" \\\n                '%s%s[", o->kind == OPT_LIST ? "*" : "", names[i]);
        zsh_text(o->help);
        printf("]");
        if (o->kind >= OPT_STR) {
            printf(":");
            zsh_text(o->arg ? o->arg : "VALUE");
            struct sb b;
            values_of(o, &b);
            if (*b.p) printf(":(%s)", b.p);
            else if (takes_file(o->arg)) printf(":_files");
            else printf(": ");
            sb_release(&b);
        }
        printf("'");
    }
}

static void zsh_list(const char *array, const char *group)
{
    printf("            %s=(", array);
    if (!*group)
        for (int g = 0; g < N_GROUPS; g++) {
            printf("\n                '%s:", GROUPS[g].name);
            zsh_text(GROUPS[g].summary);
            printf("'");
        }
    for (int i = 0; i < N_CMDS; i++) {
        if (CMDS[i]->hidden || (*group ? !sv_eq_c(cmd_group(CMDS[i]), group) : !stands_alone(CMDS[i]))) continue;
        printf("\n                '%s:", cmd_leaf(CMDS[i]));
        zsh_text(CMDS[i]->summary);
        printf("'");
    }
    printf(")\n");
}

static void zsh(void)
{
    const struct opt *o;
    printf("#compdef ilab\n# zsh completion of ilab: source <(ilab completion zsh), or as _ilab in a folder of $fpath\n"
           "_ilab() {\n    local cmd= w\n    local -i i=2 at=1\n    local -a list\n    while (( i < CURRENT )); do\n        w=$words[i]\n        case $w in\n            --config|--compat) (( i++ )) ;;\n"
           "            -*) ;;\n            *) cmd=${cmd:+$cmd }$w; at=i\n               case $cmd in (");
    for (int g = 0; g < N_GROUPS; g++) printf("%s%s", g ? "|" : "", GROUPS[g].name);
    printf(") ;; (*) break ;; esac ;;\n        esac\n        (( i++ ))\n    done\n"
           "    if [[ -z $cmd && $words[CURRENT-1] == --config ]]; then _files; return; fi\n"
           "    if [[ -z $cmd && $words[CURRENT-1] == --compat ]]; then compadd 0.14 0.26; return; fi\n"
           "    case $cmd in\n        ('')\n");
    zsh_list("list", "");
    printf("            if [[ $words[CURRENT] == -* ]]; then compadd -- --config --compat --version --help; else _describe command list; fi ;;\n");
    for (int g = 0; g < N_GROUPS; g++) {
        printf("        (%s)\n", GROUPS[g].name);
        zsh_list("list", GROUPS[g].name);
        printf("            if [[ $words[CURRENT] == -* ]]; then compadd -- --help; else _describe command list; fi ;;\n");
    }
    for (int i = 0; i < N_CMDS; i++) {
        if (CMDS[i]->hidden) continue;
        printf("        (");
        names_of(CMDS[i], "|");
        printf(")\n            shift $(( at - 1 )) words; (( CURRENT -= at - 1 ))\n            _arguments -S");
        for (int k = 0; (o = option_at(CMDS[i], k)) != NULL; k++)
            if (!(o->flags & OPT_HIDDEN)) zsh_option(o);
        printf(" \\\n                '--help[show the help]'");
        if (CMDS[i]->word_choices) printf(" \\\n                '1:what:(%s)'", CMDS[i]->word_choices);
        else if (CMDS[i]->max_words) printf(" \\\n                '*:word:_files'");
        printf(" ;;\n");
    }
    printf("    esac\n}\nif [[ $funcstack[1] == _ilab ]]; then _ilab \"$@\"; else compdef _ilab ilab; fi\n");
}

/* ---- fish ---- */

static void fish_option(const struct cmd *c, const struct opt *o)
{
    printf("complete -c ilab -n \"__ilab_is ");
    names_of(c, " ");
    printf("\" -l %s", o->name);
    if (o->alias) printf(" -s %c", o->alias);
    if (o->alias2) printf(" -o %s", o->alias2);
    struct sb b;
    values_of(o, &b);
    if (o->kind >= OPT_STR) printf(*b.p ? " -x -a " : takes_file(o->arg) ? " -r -F" : " -x");
    if (o->kind >= OPT_STR && *b.p) quoted(b.p, 1);
    sb_release(&b);
    printf(" -d ");
    quoted(o->help, 1);
    putchar('\n');
}

static void fish_command(const char *condition, const char *word, const char *summary)
{
    printf("complete -c ilab -n \"__ilab_is '%s'\" -a %s -d ", condition, word);
    quoted(summary, 1);
    putchar('\n');
}

static void fish(void)
{
    const struct opt *o;
    printf("# fish completion of ilab: ilab completion fish | source\nfunction __ilab_command\n    set -l words (commandline -opc)\n    set -e words[1]\n    set -l out\n    set -l skip 0\n"
           "    for w in $words\n        if test $skip -eq 1\n            set skip 0\n            continue\n        end\n        switch $w\n            case --config --compat\n                set skip 1\n"
           "            case '-*'\n            case '*'\n                set -a out $w\n                if not contains -- \"$out\" ");
    group_words();
    printf("\n                    break\n                end\n        end\n    end\n    echo \"$out\"\nend\nfunction __ilab_is\n    set -l now \"$(__ilab_command)\"\n    contains -- \"$now\" $argv\nend\n"
           "complete -c ilab -f\ncomplete -c ilab -n \"__ilab_is ''\" -l config -r -F -d 'configuration file'\ncomplete -c ilab -n \"__ilab_is ''\" -l compat -x -a '0.14 0.26' -d 'as that release of InstructLab'\n"
           "complete -c ilab -n \"__ilab_is ''\" -l version -d 'show the version'\ncomplete -c ilab -l help -s h -d 'show the help'\n");
    for (int g = 0; g < N_GROUPS; g++) fish_command("", GROUPS[g].name, GROUPS[g].summary);
    for (int i = 0; i < N_CMDS; i++) {
        char group[32];
        if (CMDS[i]->hidden) continue;
        snprintf(group, sizeof group, "%.*s", SV_ARG(cmd_group(CMDS[i])));
        if (*group) fish_command(group, cmd_leaf(CMDS[i]), CMDS[i]->summary);
        if (stands_alone(CMDS[i])) fish_command("", cmd_leaf(CMDS[i]), CMDS[i]->summary);
        for (int k = 0; (o = option_at(CMDS[i], k)) != NULL; k++)
            if (!(o->flags & OPT_HIDDEN)) fish_option(CMDS[i], o);
        if (!CMDS[i]->max_words) continue;
        printf("complete -c ilab -n \"__ilab_is ");
        names_of(CMDS[i], " ");
        if (CMDS[i]->word_choices) printf("\" -a '%s'\n", CMDS[i]->word_choices);
        else printf("\" -F\n");
    }
}

static const struct { const char *name; void (*print)(void); } SHELLS[] = { { "bash", bash }, { "zsh", zsh }, { "fish", fish } };

int completion_print(const char *shell, size_t n)
{
    for (size_t i = 0; i < ARRAY_LEN(SHELLS); i++)
        if (strlen(SHELLS[i].name) == n && !strncmp(SHELLS[i].name, shell, n)) return SHELLS[i].print(), 0;
    return 1;
}

static int run(struct cli *c, void *args)
{
    (void)args;
    const char *shell = c->n_word ? c->word[0] : "";
    if (!completion_print(shell, strlen(shell))) return EXIT_DONE;
    fprintf(stderr, "Error: %s: name one of bash, zsh, fish\n", c->n_word ? shell : "Missing argument 'SHELL'");
    return EXIT_USAGE;
}

const struct cmd CMD_COMPLETION = {
    .name = "completion", .run = run, .needs_config = -1, .max_words = 1, .words = "bash|zsh|fish", .word_choices = "bash zsh fish",
    .summary = "Print the script with which a shell completes ilab's commands and options.",
    .help = "`make install` puts the scripts where the shells look for them.\n\nExamples:\n  source <(ilab completion bash)\n  source <(ilab completion zsh)\n  ilab completion fish | source\n",
};
