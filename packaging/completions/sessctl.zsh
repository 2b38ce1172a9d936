#compdef sessctl

autoload -U is-at-least

_sessctl() {
    typeset -A opt_args
    typeset -a _arguments_options
    local ret=1

    if is-at-least 5.2; then
        _arguments_options=(-s -S -C)
    else
        _arguments_options=(-s -C)
    fi

    local context curcontext="$curcontext" state line
    _arguments "${_arguments_options[@]}" : \
'--store=[Folder of the store; by default sesslog in \`\$XDG_DATA_HOME\` or \`~/.local/share\`]:DIR:_files' \
'--wait=[Time to wait for a session that another process writes to]:SECONDS:_default' \
'--json[Print JSON lines, each with a "type"; the last is the summary]' \
'-h[Print help (see more with '\''--help'\'')]' \
'--help[Print help (see more with '\''--help'\'')]' \
'-V[Print version]' \
'--version[Print version]' \
":: :_sessctl_commands" \
"*::: :->sessctl" \
&& ret=0
    case $state in
    (sessctl)
        words=($line[1] "${words[@]}")
        (( CURRENT += 1 ))
        curcontext="${curcontext%:*:*}:sessctl-command-$line[1]:"
        case $line[1] in
            (append)
_arguments "${_arguments_options[@]}" : \
'--kind=[Kind of the records; "message" by default]:K:_default' \
'--store=[Folder of the store; by default sesslog in \`\$XDG_DATA_HOME\` or \`~/.local/share\`]:DIR:_files' \
'--wait=[Time to wait for a session that another process writes to]:SECONDS:_default' \
'--buffered[Acknowledge before it is durable; make all durable at the end and on SIGTERM]' \
'--json[Print JSON lines, each with a "type"; the last is the summary]' \
'-h[Print help (see more with '\''--help'\'')]' \
'--help[Print help (see more with '\''--help'\'')]' \
'::key -- Key of the session; without it every line names its own:_default' \
&& ret=0
;;
(list)
_arguments "${_arguments_options[@]}" : \
'--limit=[Number of sessions printed at most]:N:_default' \
'--sort=[Order\: times and bytes from high to low, keys from low to high]:SORT:(updated created key bytes)' \
'--state=[State of the sessions wanted, as shown]:STATE:(open interrupted pending suspended closed running)' \
'*--label=[Label that the sessions must have; given several times, all of them]:LABEL:_default' \
'--active=[Time within which a session must have been updated\: 90s, 30m, 2h, 7d]:DURATION:_default' \
'--store=[Folder of the store; by default sesslog in \`\$XDG_DATA_HOME\` or \`~/.local/share\`]:DIR:_files' \
'--wait=[Time to wait for a session that another process writes to]:SECONDS:_default' \
'--all-generations[List closed generations of a key, too]' \
'--own[List the store'\''s own session, too\: ~store, where starts and stops of gateways are kept]' \
'--json[Print JSON lines, each with a "type"; the last is the summary]' \
'-h[Print help (see more with '\''--help'\'')]' \
'--help[Print help (see more with '\''--help'\'')]' \
&& ret=0
;;
(show)
_arguments "${_arguments_options[@]}" : \
'--generation=[Generation of the key; the newest by default]:G:_default' \
'(--tail)--from=[First record wanted]:SEQ:_default' \
'--tail=[Number of records wanted from the end]:N:_default' \
'--store=[Folder of the store; by default sesslog in \`\$XDG_DATA_HOME\` or \`~/.local/share\`]:DIR:_files' \
'--wait=[Time to wait for a session that another process writes to]:SECONDS:_default' \
'--marks[Print the store'\''s own marks, too]' \
'--frames[Print whole lines as they stand in the transcript; with --marks also the header]' \
'--json[Print JSON lines, each with a "type"; the last is the summary]' \
'-h[Print help (see more with '\''--help'\'')]' \
'--help[Print help (see more with '\''--help'\'')]' \
':key -- Key of the session:_default' \
&& ret=0
;;
(context)
_arguments "${_arguments_options[@]}" : \
'--generation=[Generation of the key, as it was when it was closed; the newest by default]:G:_default' \
'(--generation)--history=[Print the last records that a user would see instead, also those that are summed up]:N:_default' \
'--store=[Folder of the store; by default sesslog in \`\$XDG_DATA_HOME\` or \`~/.local/share\`]:DIR:_files' \
'--wait=[Time to wait for a session that another process writes to]:SECONDS:_default' \
'--json[Print JSON lines, each with a "type"; the last is the summary]' \
'-h[Print help (see more with '\''--help'\'')]' \
'--help[Print help (see more with '\''--help'\'')]' \
':key -- Key of the session:_default' \
&& ret=0
;;
(tail)
_arguments "${_arguments_options[@]}" : \
'-n+[Number of records to begin with]:N:_default' \
'--lines=[Number of records to begin with]:N:_default' \
'--store=[Folder of the store; by default sesslog in \`\$XDG_DATA_HOME\` or \`~/.local/share\`]:DIR:_files' \
'--wait=[Time to wait for a session that another process writes to]:SECONDS:_default' \
'-f[Wait for more records and print them]' \
'--follow[Wait for more records and print them]' \
'--json[Print JSON lines, each with a "type"; the last is the summary]' \
'-h[Print help (see more with '\''--help'\'')]' \
'--help[Print help (see more with '\''--help'\'')]' \
':key -- Key of the session:_default' \
&& ret=0
;;
(grep)
_arguments "${_arguments_options[@]}" : \
'-C+[Records to print before and behind each, too]:N:_default' \
'--context=[Records to print before and behind each, too]:N:_default' \
'--kind=[Look only at records of this kind]:KIND:_default' \
'--jobs=[Number of transcripts read at once; 0 stands for one a core]:N:_default' \
'--store=[Folder of the store; by default sesslog in \`\$XDG_DATA_HOME\` or \`~/.local/share\`]:DIR:_files' \
'--wait=[Time to wait for a session that another process writes to]:SECONDS:_default' \
'-i[Letters match whatever their case]' \
'--ignore-case[Letters match whatever their case]' \
'-F[The pattern is plain text]' \
'--fixed-strings[The pattern is plain text]' \
'-w[Only whole words match]' \
'--word-regexp[Only whole words match]' \
'--text[Compare with the strings in a body, not with how JSON spells them]' \
'(-C --context -c --count)-l[Print only the keys of the sessions, each once a generation]' \
'(-C --context -c --count)--sessions-with-matches[Print only the keys of the sessions, each once a generation]' \
'(-C --context)-c[Print only the number of records of each session]' \
'(-C --context)--count[Print only the number of records of each session]' \
'--marks[Look at the store'\''s own marks, too]' \
'--json[Print JSON lines, each with a "type"; the last is the summary]' \
'-h[Print help (see more with '\''--help'\'')]' \
'--help[Print help (see more with '\''--help'\'')]' \
':pattern -- What to look for:_default' \
'*::keys -- Keys of the sessions to look at; all by default:_default' \
&& ret=0
;;
(stats)
_arguments "${_arguments_options[@]}" : \
'--days=[Number of days printed, the newest; 0 stands for all]:N:_default' \
'--jobs=[Number of transcripts read at once; 0 stands for one a core]:N:_default' \
'--store=[Folder of the store; by default sesslog in \`\$XDG_DATA_HOME\` or \`~/.local/share\`]:DIR:_files' \
'--wait=[Time to wait for a session that another process writes to]:SECONDS:_default' \
'--json[Print JSON lines, each with a "type"; the last is the summary]' \
'-h[Print help (see more with '\''--help'\'')]' \
'--help[Print help (see more with '\''--help'\'')]' \
&& ret=0
;;
(info)
_arguments "${_arguments_options[@]}" : \
'--generation=[Generation of the key; the newest by default]:G:_default' \
'--marks=[Number of marks printed at most]:N:_default' \
'--store=[Folder of the store; by default sesslog in \`\$XDG_DATA_HOME\` or \`~/.local/share\`]:DIR:_files' \
'--wait=[Time to wait for a session that another process writes to]:SECONDS:_default' \
'--json[Print JSON lines, each with a "type"; the last is the summary]' \
'-h[Print help (see more with '\''--help'\'')]' \
'--help[Print help (see more with '\''--help'\'')]' \
':key -- Key of the session:_default' \
&& ret=0
;;
(path)
_arguments "${_arguments_options[@]}" : \
'--generation=[Generation of the key; the newest by default]:G:_default' \
'--store=[Folder of the store; by default sesslog in \`\$XDG_DATA_HOME\` or \`~/.local/share\`]:DIR:_files' \
'--wait=[Time to wait for a session that another process writes to]:SECONDS:_default' \
'--json[Print JSON lines, each with a "type"; the last is the summary]' \
'-h[Print help (see more with '\''--help'\'')]' \
'--help[Print help (see more with '\''--help'\'')]' \
':key -- Key of the session:_default' \
&& ret=0
;;
(mark)
_arguments "${_arguments_options[@]}" : \
'--reason=[Why, for whoever looks later; needed by resume-pending and suspend]:R:_default' \
'--store=[Folder of the store; by default sesslog in \`\$XDG_DATA_HOME\` or \`~/.local/share\`]:DIR:_files' \
'--wait=[Time to wait for a session that another process writes to]:SECONDS:_default' \
'--json[Print JSON lines, each with a "type"; the last is the summary]' \
'-h[Print help (see more with '\''--help'\'')]' \
'--help[Print help (see more with '\''--help'\'')]' \
':key -- Key of the session; the newest generation is marked:_default' \
':mark -- The mark:((resume-pending\:"To be resumed at the next start; reason and time replace those of before"
clear\:"Not to be resumed any more"
suspend\:"Not to be resumed, and no turns, until it is released; what is suspended keeps its reason and time"
release\:"Lift the suspension, and count resumes anew"))' \
&& ret=0
;;
(resumable)
_arguments "${_arguments_options[@]}" : \
'--fresh=[Age up to which a session is resumed; 0 stands for any \[default\: 3600\]]:SECONDS:_default' \
'--attempts=[Number of tries without success after which a session is not resumed; 0 stands for no limit \[default\: 3\]]:N:_default' \
'--store=[Folder of the store; by default sesslog in \`\$XDG_DATA_HOME\` or \`~/.local/share\`]:DIR:_files' \
'--wait=[Time to wait for a session that another process writes to]:SECONDS:_default' \
'--json[Print JSON lines, each with a "type"; the last is the summary]' \
'-h[Print help (see more with '\''--help'\'')]' \
'--help[Print help (see more with '\''--help'\'')]' \
&& ret=0
;;
(reset)
_arguments "${_arguments_options[@]}" : \
'--reason=[Why, for whoever looks later]:R:_default' \
'--store=[Folder of the store; by default sesslog in \`\$XDG_DATA_HOME\` or \`~/.local/share\`]:DIR:_files' \
'--wait=[Time to wait for a session that another process writes to]:SECONDS:_default' \
'--json[Print JSON lines, each with a "type"; the last is the summary]' \
'-h[Print help (see more with '\''--help'\'')]' \
'--help[Print help (see more with '\''--help'\'')]' \
':key -- Key of the session:_default' \
&& ret=0
;;
(undo)
_arguments "${_arguments_options[@]}" : \
'--store=[Folder of the store; by default sesslog in \`\$XDG_DATA_HOME\` or \`~/.local/share\`]:DIR:_files' \
'--wait=[Time to wait for a session that another process writes to]:SECONDS:_default' \
'--dry-run[Only say what would be done]' \
'--json[Print JSON lines, each with a "type"; the last is the summary]' \
'-h[Print help (see more with '\''--help'\'')]' \
'--help[Print help (see more with '\''--help'\'')]' \
':key -- Key of the session; of its newest generation:_default' \
'::count -- Number of records to take out:_default' \
&& ret=0
;;
(fork)
_arguments "${_arguments_options[@]}" : \
'--at=[Last record taken along, 0 standing for none; the last one by default]:SEQ:_default' \
'--generation=[Generation of the parent; the newest by default]:G:_default' \
'--store=[Folder of the store; by default sesslog in \`\$XDG_DATA_HOME\` or \`~/.local/share\`]:DIR:_files' \
'--wait=[Time to wait for a session that another process writes to]:SECONDS:_default' \
'--dry-run[Only say what would be done]' \
'--json[Print JSON lines, each with a "type"; the last is the summary]' \
'-h[Print help (see more with '\''--help'\'')]' \
'--help[Print help (see more with '\''--help'\'')]' \
':key -- Key of the session to begin as:_default' \
':new_key -- Key of the session to make:_default' \
&& ret=0
;;
(title)
_arguments "${_arguments_options[@]}" : \
'--store=[Folder of the store; by default sesslog in \`\$XDG_DATA_HOME\` or \`~/.local/share\`]:DIR:_files' \
'--wait=[Time to wait for a session that another process writes to]:SECONDS:_default' \
'--json[Print JSON lines, each with a "type"; the last is the summary]' \
'-h[Print help (see more with '\''--help'\'')]' \
'--help[Print help (see more with '\''--help'\'')]' \
':key -- Key of the session:_default' \
':title -- The title; an empty one takes it away:_default' \
&& ret=0
;;
(label)
_arguments "${_arguments_options[@]}" : \
'--store=[Folder of the store; by default sesslog in \`\$XDG_DATA_HOME\` or \`~/.local/share\`]:DIR:_files' \
'--wait=[Time to wait for a session that another process writes to]:SECONDS:_default' \
'()--clear[Take all labels away]' \
'--json[Print JSON lines, each with a "type"; the last is the summary]' \
'-h[Print help (see more with '\''--help'\'')]' \
'--help[Print help (see more with '\''--help'\'')]' \
':key -- Key of the session:_default' \
'*::labels -- The labels, all of them:_default' \
&& ret=0
;;
(export)
_arguments "${_arguments_options[@]}" : \
'--as=[What to write it as]:FORMAT:(jsonl markdown html openai pi as-imported)' \
'--generation=[Generation of the key; the newest by default]:G:_default' \
'--output=[File to write, replaced as a whole; readable for its owner only. Standard output by default]:FILE:_files' \
'--store=[Folder of the store; by default sesslog in \`\$XDG_DATA_HOME\` or \`~/.local/share\`]:DIR:_files' \
'--wait=[Time to wait for a session that another process writes to]:SECONDS:_default' \
'--redact[Replace what looks like a key, a token or a password]' \
'--active[Only what a model should see now]' \
'--json[Print JSON lines, each with a "type"; the last is the summary]' \
'-h[Print help (see more with '\''--help'\'')]' \
'--help[Print help (see more with '\''--help'\'')]' \
':key -- Key of the session:_default' \
&& ret=0
;;
(delete)
_arguments "${_arguments_options[@]}" : \
'--generation=[Generation of the key; all of them by default]:G:_default' \
'--store=[Folder of the store; by default sesslog in \`\$XDG_DATA_HOME\` or \`~/.local/share\`]:DIR:_files' \
'--wait=[Time to wait for a session that another process writes to]:SECONDS:_default' \
'--purge[Delete for good instead of to the trash]' \
'--dry-run[Only say what would be done, and whether somebody writes to the session]' \
'--json[Print JSON lines, each with a "type"; the last is the summary]' \
'-h[Print help (see more with '\''--help'\'')]' \
'--help[Print help (see more with '\''--help'\'')]' \
':key -- Key of the session:_default' \
&& ret=0
;;
(prune)
_arguments "${_arguments_options[@]}" : \
'--older-than=[Rule\: sessions not active for longer than this\: 90s, 30m, 2h, 7d]:DURATION:_default' \
'--keep-newest=[Rule\: all but this many sessions]:N:_default' \
'--max-bytes=[Rule\: sessions until all transcripts together have at most this many bytes]:N:_default' \
'--store=[Folder of the store; by default sesslog in \`\$XDG_DATA_HOME\` or \`~/.local/share\`]:DIR:_files' \
'--wait=[Time to wait for a session that another process writes to]:SECONDS:_default' \
'--purge[Delete for good instead of to the trash]' \
'--dry-run[Only say what would be done]' \
'--json[Print JSON lines, each with a "type"; the last is the summary]' \
'-h[Print help (see more with '\''--help'\'')]' \
'--help[Print help (see more with '\''--help'\'')]' \
&& ret=0
;;
(trash)
_arguments "${_arguments_options[@]}" : \
'--store=[Folder of the store; by default sesslog in \`\$XDG_DATA_HOME\` or \`~/.local/share\`]:DIR:_files' \
'--wait=[Time to wait for a session that another process writes to]:SECONDS:_default' \
'--json[Print JSON lines, each with a "type"; the last is the summary]' \
'-h[Print help (see more with '\''--help'\'')]' \
'--help[Print help (see more with '\''--help'\'')]' \
":: :_sessctl__subcmd__trash_commands" \
"*::: :->trash" \
&& ret=0

    case $state in
    (trash)
        words=($line[1] "${words[@]}")
        (( CURRENT += 1 ))
        curcontext="${curcontext%:*:*}:sessctl-trash-command-$line[1]:"
        case $line[1] in
            (list)
_arguments "${_arguments_options[@]}" : \
'--store=[Folder of the store; by default sesslog in \`\$XDG_DATA_HOME\` or \`~/.local/share\`]:DIR:_files' \
'--wait=[Time to wait for a session that another process writes to]:SECONDS:_default' \
'--json[Print JSON lines, each with a "type"; the last is the summary]' \
'-h[Print help (see more with '\''--help'\'')]' \
'--help[Print help (see more with '\''--help'\'')]' \
&& ret=0
;;
(restore)
_arguments "${_arguments_options[@]}" : \
'*--generation=[Generation of the key; may be given several times; all in the trash by default]:G:_default' \
'--store=[Folder of the store; by default sesslog in \`\$XDG_DATA_HOME\` or \`~/.local/share\`]:DIR:_files' \
'--wait=[Time to wait for a session that another process writes to]:SECONDS:_default' \
'--dry-run[Only say what would be done]' \
'--json[Print JSON lines, each with a "type"; the last is the summary]' \
'-h[Print help (see more with '\''--help'\'')]' \
'--help[Print help (see more with '\''--help'\'')]' \
':what -- Name in the trash, as trash list prints it, or key of the session:_default' \
&& ret=0
;;
(empty)
_arguments "${_arguments_options[@]}" : \
'--older-than=[Time since the deletion after which a transcript is removed\: 90s, 30m, 2h, 7d; all are by default]:DURATION:_default' \
'--store=[Folder of the store; by default sesslog in \`\$XDG_DATA_HOME\` or \`~/.local/share\`]:DIR:_files' \
'--wait=[Time to wait for a session that another process writes to]:SECONDS:_default' \
'--dry-run[Only say what would be done]' \
'--json[Print JSON lines, each with a "type"; the last is the summary]' \
'-h[Print help (see more with '\''--help'\'')]' \
'--help[Print help (see more with '\''--help'\'')]' \
&& ret=0
;;
        esac
    ;;
esac
;;
(verify)
_arguments "${_arguments_options[@]}" : \
'--jobs=[Number of transcripts read at once; 0 stands for one a core]:N:_default' \
'(--deep)*--against=[Files and folders of histories\: check instead whether every byte of them was imported]:PATH:_files' \
'--from=[System that wrote them; auto takes each file for what it looks like]:SYSTEM:(auto openclaw pi codex hermes nanobot claude-code jsonl)' \
'--key-prefix=[What stands before the system'\''s own name of a session in its key, instead of pi\: and the like]:PREFIX:_default' \
'--store=[Folder of the store; by default sesslog in \`\$XDG_DATA_HOME\` or \`~/.local/share\`]:DIR:_files' \
'--wait=[Time to wait for a session that another process writes to]:SECONDS:_default' \
'--deep[Parse the JSON of every body, too]' \
'--json[Print JSON lines, each with a "type"; the last is the summary]' \
'-h[Print help (see more with '\''--help'\'')]' \
'--help[Print help (see more with '\''--help'\'')]' \
'*::keys -- Keys of the sessions to check; all sessions and the registry by default:_default' \
&& ret=0
;;
(rebuild-index)
_arguments "${_arguments_options[@]}" : \
'--jobs=[Number of transcripts read at once; 0 stands for one a core]:N:_default' \
'--store=[Folder of the store; by default sesslog in \`\$XDG_DATA_HOME\` or \`~/.local/share\`]:DIR:_files' \
'--wait=[Time to wait for a session that another process writes to]:SECONDS:_default' \
'--dry-run[Only report what is not as it should be; exit status 4 if a run would mend it]' \
'--no-truncate[Leave torn tails where they are]' \
'--accept-loss[Forget records and transcripts that the registry knows of and that are gone, after a restored backup]' \
'--json[Print JSON lines, each with a "type"; the last is the summary]' \
'-h[Print help (see more with '\''--help'\'')]' \
'--help[Print help (see more with '\''--help'\'')]' \
&& ret=0
;;
(repair)
_arguments "${_arguments_options[@]}" : \
'--generation=[Generation of the key; the newest by default]:G:_default' \
'--store=[Folder of the store; by default sesslog in \`\$XDG_DATA_HOME\` or \`~/.local/share\`]:DIR:_files' \
'--wait=[Time to wait for a session that another process writes to]:SECONDS:_default' \
'--dry-run[Only say what would be done]' \
'--json[Print JSON lines, each with a "type"; the last is the summary]' \
'-h[Print help (see more with '\''--help'\'')]' \
'--help[Print help (see more with '\''--help'\'')]' \
':key -- Key of the session:_default' \
&& ret=0
;;
(completions)
_arguments "${_arguments_options[@]}" : \
'--store=[Folder of the store; by default sesslog in \`\$XDG_DATA_HOME\` or \`~/.local/share\`]:DIR:_files' \
'--wait=[Time to wait for a session that another process writes to]:SECONDS:_default' \
'--json[Print JSON lines, each with a "type"; the last is the summary]' \
'-h[Print help (see more with '\''--help'\'')]' \
'--help[Print help (see more with '\''--help'\'')]' \
':shell -- The shell:(bash elvish fish powershell zsh)' \
&& ret=0
;;
(man)
_arguments "${_arguments_options[@]}" : \
'--store=[Folder of the store; by default sesslog in \`\$XDG_DATA_HOME\` or \`~/.local/share\`]:DIR:_files' \
'--wait=[Time to wait for a session that another process writes to]:SECONDS:_default' \
'--json[Print JSON lines, each with a "type"; the last is the summary]' \
'-h[Print help (see more with '\''--help'\'')]' \
'--help[Print help (see more with '\''--help'\'')]' \
'::folder -- Folder to write sessctl.1, sessctl-append.1 ... into:_files' \
&& ret=0
;;
(import)
_arguments "${_arguments_options[@]}" : \
'--from=[System that wrote them; auto takes each file for what it looks like]:SYSTEM:(auto openclaw pi codex hermes nanobot claude-code jsonl)' \
'--key-prefix=[What stands before the system'\''s own name of a session in its key, instead of pi\: and the like]:PREFIX:_default' \
'--jobs=[Number of files imported at once; 0 stands for eight a core]:N:_default' \
'--store=[Folder of the store; by default sesslog in \`\$XDG_DATA_HOME\` or \`~/.local/share\`]:DIR:_files' \
'--wait=[Time to wait for a session that another process writes to]:SECONDS:_default' \
'--dry-run[Only say what would be done]' \
'--json[Print JSON lines, each with a "type"; the last is the summary]' \
'-h[Print help (see more with '\''--help'\'')]' \
'--help[Print help (see more with '\''--help'\'')]' \
'*::paths -- Files and folders of histories:_files' \
&& ret=0
;;
(doctor)
_arguments "${_arguments_options[@]}" : \
'*--ignore=[Pass over findings with this id; may be given several times]:ID:_default' \
'--jobs=[Number of transcripts read at once; 0 stands for one a core]:N:_default' \
'--store=[Folder of the store; by default sesslog in \`\$XDG_DATA_HOME\` or \`~/.local/share\`]:DIR:_files' \
'--wait=[Time to wait for a session that another process writes to]:SECONDS:_default' \
'--fix[Settle what can be settled without losing anything]' \
'--quick[Do not try out syncs and locks]' \
'--json[Print JSON lines, each with a "type"; the last is the summary]' \
'-h[Print help (see more with '\''--help'\'')]' \
'--help[Print help (see more with '\''--help'\'')]' \
&& ret=0
;;
(quarantine)
_arguments "${_arguments_options[@]}" : \
'--store=[Folder of the store; by default sesslog in \`\$XDG_DATA_HOME\` or \`~/.local/share\`]:DIR:_files' \
'--wait=[Time to wait for a session that another process writes to]:SECONDS:_default' \
'--json[Print JSON lines, each with a "type"; the last is the summary]' \
'-h[Print help (see more with '\''--help'\'')]' \
'--help[Print help (see more with '\''--help'\'')]' \
":: :_sessctl__subcmd__quarantine_commands" \
"*::: :->quarantine" \
&& ret=0

    case $state in
    (quarantine)
        words=($line[1] "${words[@]}")
        (( CURRENT += 1 ))
        curcontext="${curcontext%:*:*}:sessctl-quarantine-command-$line[1]:"
        case $line[1] in
            (list)
_arguments "${_arguments_options[@]}" : \
'--store=[Folder of the store; by default sesslog in \`\$XDG_DATA_HOME\` or \`~/.local/share\`]:DIR:_files' \
'--wait=[Time to wait for a session that another process writes to]:SECONDS:_default' \
'--json[Print JSON lines, each with a "type"; the last is the summary]' \
'-h[Print help (see more with '\''--help'\'')]' \
'--help[Print help (see more with '\''--help'\'')]' \
&& ret=0
;;
(show)
_arguments "${_arguments_options[@]}" : \
'--store=[Folder of the store; by default sesslog in \`\$XDG_DATA_HOME\` or \`~/.local/share\`]:DIR:_files' \
'--wait=[Time to wait for a session that another process writes to]:SECONDS:_default' \
'--json[Print JSON lines, each with a "type"; the last is the summary]' \
'-h[Print help (see more with '\''--help'\'')]' \
'--help[Print help (see more with '\''--help'\'')]' \
':name -- Name in the quarantine, as quarantine list prints it:_default' \
&& ret=0
;;
(restore)
_arguments "${_arguments_options[@]}" : \
'--store=[Folder of the store; by default sesslog in \`\$XDG_DATA_HOME\` or \`~/.local/share\`]:DIR:_files' \
'--wait=[Time to wait for a session that another process writes to]:SECONDS:_default' \
'--json[Print JSON lines, each with a "type"; the last is the summary]' \
'-h[Print help (see more with '\''--help'\'')]' \
'--help[Print help (see more with '\''--help'\'')]' \
':name -- Name in the quarantine, as quarantine list prints it:_default' \
&& ret=0
;;
(drop)
_arguments "${_arguments_options[@]}" : \
'--older-than=[Time in the quarantine after which a file is removed\: 90s, 30m, 2h, 7d]:DURATION:_default' \
'--store=[Folder of the store; by default sesslog in \`\$XDG_DATA_HOME\` or \`~/.local/share\`]:DIR:_files' \
'--wait=[Time to wait for a session that another process writes to]:SECONDS:_default' \
'--dry-run[Only say what would be done]' \
'--json[Print JSON lines, each with a "type"; the last is the summary]' \
'-h[Print help (see more with '\''--help'\'')]' \
'--help[Print help (see more with '\''--help'\'')]' \
'*::names -- Names in the quarantine, as quarantine list prints them:_default' \
&& ret=0
;;
        esac
    ;;
esac
;;
        esac
    ;;
esac
}

(( $+functions[_sessctl_commands] )) ||
_sessctl_commands() {
    local commands; commands=(
'append:Append JSON lines from standard input' \
'list:List sessions, newest first' \
'show:Print the records of a session' \
'context:Print what a model should see of a session now' \
'tail:Print the last records of a session, and follow it' \
'grep:Search the bodies of records' \
'stats:Count what is in the store\: by day, by role, by size' \
'info:Show what is known of a session' \
'path:Print the path of a session'\''s transcript' \
'mark:Mark a session to be resumed or to be left alone' \
'resumable:List what a start of the gateway would resume' \
'reset:Close a session'\''s newest generation' \
'undo:Take the last records out of what a session shows' \
'fork:Make a new session that begins as another one was' \
'title:Give a session a title' \
'label:Give a session labels, or print those that it has' \
'export:Write a session as a page, as text, or in the shape of another system' \
'delete:Delete a session' \
'prune:Delete old sessions by a rule' \
'trash:Look at deleted sessions, take them back, or remove them for good' \
'verify:Check transcripts and registry without changing anything' \
'rebuild-index:Fold the registry again from the transcripts' \
'repair:Salvage a damaged transcript into a new file' \
'completions:Print what a shell needs to complete the command line' \
'man:Write the manual pages, one for each command' \
'import:Bring histories of other systems into the store' \
'doctor:Examine the store and what it stands on' \
'quarantine:Look at what was cut or replaced, take it back, or drop it' \
    )
    _describe -t commands 'sessctl commands' commands "$@"
}
(( $+functions[_sessctl__subcmd__append_commands] )) ||
_sessctl__subcmd__append_commands() {
    local commands; commands=()
    _describe -t commands 'sessctl append commands' commands "$@"
}
(( $+functions[_sessctl__subcmd__completions_commands] )) ||
_sessctl__subcmd__completions_commands() {
    local commands; commands=()
    _describe -t commands 'sessctl completions commands' commands "$@"
}
(( $+functions[_sessctl__subcmd__context_commands] )) ||
_sessctl__subcmd__context_commands() {
    local commands; commands=()
    _describe -t commands 'sessctl context commands' commands "$@"
}
(( $+functions[_sessctl__subcmd__delete_commands] )) ||
_sessctl__subcmd__delete_commands() {
    local commands; commands=()
    _describe -t commands 'sessctl delete commands' commands "$@"
}
(( $+functions[_sessctl__subcmd__doctor_commands] )) ||
_sessctl__subcmd__doctor_commands() {
    local commands; commands=()
    _describe -t commands 'sessctl doctor commands' commands "$@"
}
(( $+functions[_sessctl__subcmd__export_commands] )) ||
_sessctl__subcmd__export_commands() {
    local commands; commands=()
    _describe -t commands 'sessctl export commands' commands "$@"
}
(( $+functions[_sessctl__subcmd__fork_commands] )) ||
_sessctl__subcmd__fork_commands() {
    local commands; commands=()
    _describe -t commands 'sessctl fork commands' commands "$@"
}
(( $+functions[_sessctl__subcmd__grep_commands] )) ||
_sessctl__subcmd__grep_commands() {
    local commands; commands=()
    _describe -t commands 'sessctl grep commands' commands "$@"
}
(( $+functions[_sessctl__subcmd__import_commands] )) ||
_sessctl__subcmd__import_commands() {
    local commands; commands=()
    _describe -t commands 'sessctl import commands' commands "$@"
}
(( $+functions[_sessctl__subcmd__info_commands] )) ||
_sessctl__subcmd__info_commands() {
    local commands; commands=()
    _describe -t commands 'sessctl info commands' commands "$@"
}
(( $+functions[_sessctl__subcmd__label_commands] )) ||
_sessctl__subcmd__label_commands() {
    local commands; commands=()
    _describe -t commands 'sessctl label commands' commands "$@"
}
(( $+functions[_sessctl__subcmd__list_commands] )) ||
_sessctl__subcmd__list_commands() {
    local commands; commands=()
    _describe -t commands 'sessctl list commands' commands "$@"
}
(( $+functions[_sessctl__subcmd__man_commands] )) ||
_sessctl__subcmd__man_commands() {
    local commands; commands=()
    _describe -t commands 'sessctl man commands' commands "$@"
}
(( $+functions[_sessctl__subcmd__mark_commands] )) ||
_sessctl__subcmd__mark_commands() {
    local commands; commands=()
    _describe -t commands 'sessctl mark commands' commands "$@"
}
(( $+functions[_sessctl__subcmd__path_commands] )) ||
_sessctl__subcmd__path_commands() {
    local commands; commands=()
    _describe -t commands 'sessctl path commands' commands "$@"
}
(( $+functions[_sessctl__subcmd__prune_commands] )) ||
_sessctl__subcmd__prune_commands() {
    local commands; commands=()
    _describe -t commands 'sessctl prune commands' commands "$@"
}
(( $+functions[_sessctl__subcmd__quarantine_commands] )) ||
_sessctl__subcmd__quarantine_commands() {
    local commands; commands=(
'list:List what is in the quarantine' \
'show:Print a file of the quarantine' \
'restore:Put an original back in the place from where a repair took it' \
'drop:Remove from the quarantine for good' \
    )
    _describe -t commands 'sessctl quarantine commands' commands "$@"
}
(( $+functions[_sessctl__subcmd__quarantine__subcmd__drop_commands] )) ||
_sessctl__subcmd__quarantine__subcmd__drop_commands() {
    local commands; commands=()
    _describe -t commands 'sessctl quarantine drop commands' commands "$@"
}
(( $+functions[_sessctl__subcmd__quarantine__subcmd__list_commands] )) ||
_sessctl__subcmd__quarantine__subcmd__list_commands() {
    local commands; commands=()
    _describe -t commands 'sessctl quarantine list commands' commands "$@"
}
(( $+functions[_sessctl__subcmd__quarantine__subcmd__restore_commands] )) ||
_sessctl__subcmd__quarantine__subcmd__restore_commands() {
    local commands; commands=()
    _describe -t commands 'sessctl quarantine restore commands' commands "$@"
}
(( $+functions[_sessctl__subcmd__quarantine__subcmd__show_commands] )) ||
_sessctl__subcmd__quarantine__subcmd__show_commands() {
    local commands; commands=()
    _describe -t commands 'sessctl quarantine show commands' commands "$@"
}
(( $+functions[_sessctl__subcmd__rebuild-index_commands] )) ||
_sessctl__subcmd__rebuild-index_commands() {
    local commands; commands=()
    _describe -t commands 'sessctl rebuild-index commands' commands "$@"
}
(( $+functions[_sessctl__subcmd__repair_commands] )) ||
_sessctl__subcmd__repair_commands() {
    local commands; commands=()
    _describe -t commands 'sessctl repair commands' commands "$@"
}
(( $+functions[_sessctl__subcmd__reset_commands] )) ||
_sessctl__subcmd__reset_commands() {
    local commands; commands=()
    _describe -t commands 'sessctl reset commands' commands "$@"
}
(( $+functions[_sessctl__subcmd__resumable_commands] )) ||
_sessctl__subcmd__resumable_commands() {
    local commands; commands=()
    _describe -t commands 'sessctl resumable commands' commands "$@"
}
(( $+functions[_sessctl__subcmd__show_commands] )) ||
_sessctl__subcmd__show_commands() {
    local commands; commands=()
    _describe -t commands 'sessctl show commands' commands "$@"
}
(( $+functions[_sessctl__subcmd__stats_commands] )) ||
_sessctl__subcmd__stats_commands() {
    local commands; commands=()
    _describe -t commands 'sessctl stats commands' commands "$@"
}
(( $+functions[_sessctl__subcmd__tail_commands] )) ||
_sessctl__subcmd__tail_commands() {
    local commands; commands=()
    _describe -t commands 'sessctl tail commands' commands "$@"
}
(( $+functions[_sessctl__subcmd__title_commands] )) ||
_sessctl__subcmd__title_commands() {
    local commands; commands=()
    _describe -t commands 'sessctl title commands' commands "$@"
}
(( $+functions[_sessctl__subcmd__trash_commands] )) ||
_sessctl__subcmd__trash_commands() {
    local commands; commands=(
'list:List what is in the trash' \
'restore:Take a deleted session back' \
'empty:Remove from the trash for good' \
    )
    _describe -t commands 'sessctl trash commands' commands "$@"
}
(( $+functions[_sessctl__subcmd__trash__subcmd__empty_commands] )) ||
_sessctl__subcmd__trash__subcmd__empty_commands() {
    local commands; commands=()
    _describe -t commands 'sessctl trash empty commands' commands "$@"
}
(( $+functions[_sessctl__subcmd__trash__subcmd__list_commands] )) ||
_sessctl__subcmd__trash__subcmd__list_commands() {
    local commands; commands=()
    _describe -t commands 'sessctl trash list commands' commands "$@"
}
(( $+functions[_sessctl__subcmd__trash__subcmd__restore_commands] )) ||
_sessctl__subcmd__trash__subcmd__restore_commands() {
    local commands; commands=()
    _describe -t commands 'sessctl trash restore commands' commands "$@"
}
(( $+functions[_sessctl__subcmd__undo_commands] )) ||
_sessctl__subcmd__undo_commands() {
    local commands; commands=()
    _describe -t commands 'sessctl undo commands' commands "$@"
}
(( $+functions[_sessctl__subcmd__verify_commands] )) ||
_sessctl__subcmd__verify_commands() {
    local commands; commands=()
    _describe -t commands 'sessctl verify commands' commands "$@"
}

if [ "$funcstack[1]" = "_sessctl" ]; then
    _sessctl "$@"
else
    compdef _sessctl sessctl
fi
