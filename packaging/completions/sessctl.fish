# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_sessctl_global_optspecs
    string join \n store= json wait= h/help V/version
end

function __fish_sessctl_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_sessctl_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_sessctl_using_subcommand
    set -l cmd (__fish_sessctl_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c sessctl -n "__fish_sessctl_needs_command" -l store -d 'Folder of the store; by default sesslog in `$XDG_DATA_HOME` or `~/.local/share`' -r -F
complete -c sessctl -n "__fish_sessctl_needs_command" -l wait -d 'Time to wait for a session that another process writes to' -r
complete -c sessctl -n "__fish_sessctl_needs_command" -l json -d 'Print JSON lines, each with a "type"; the last is the summary'
complete -c sessctl -n "__fish_sessctl_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sessctl -n "__fish_sessctl_needs_command" -s V -l version -d 'Print version'
complete -c sessctl -n "__fish_sessctl_needs_command" -f -a "append" -d 'Append JSON lines from standard input'
complete -c sessctl -n "__fish_sessctl_needs_command" -f -a "list" -d 'List sessions, newest first'
complete -c sessctl -n "__fish_sessctl_needs_command" -f -a "show" -d 'Print the records of a session'
complete -c sessctl -n "__fish_sessctl_needs_command" -f -a "context" -d 'Print what a model should see of a session now'
complete -c sessctl -n "__fish_sessctl_needs_command" -f -a "tail" -d 'Print the last records of a session, and follow it'
complete -c sessctl -n "__fish_sessctl_needs_command" -f -a "grep" -d 'Search the bodies of records'
complete -c sessctl -n "__fish_sessctl_needs_command" -f -a "stats" -d 'Count what is in the store: by day, by role, by size'
complete -c sessctl -n "__fish_sessctl_needs_command" -f -a "info" -d 'Show what is known of a session'
complete -c sessctl -n "__fish_sessctl_needs_command" -f -a "path" -d 'Print the path of a session\'s transcript'
complete -c sessctl -n "__fish_sessctl_needs_command" -f -a "mark" -d 'Mark a session to be resumed or to be left alone'
complete -c sessctl -n "__fish_sessctl_needs_command" -f -a "resumable" -d 'List what a start of the gateway would resume'
complete -c sessctl -n "__fish_sessctl_needs_command" -f -a "reset" -d 'Close a session\'s newest generation'
complete -c sessctl -n "__fish_sessctl_needs_command" -f -a "undo" -d 'Take the last records out of what a session shows'
complete -c sessctl -n "__fish_sessctl_needs_command" -f -a "fork" -d 'Make a new session that begins as another one was'
complete -c sessctl -n "__fish_sessctl_needs_command" -f -a "title" -d 'Give a session a title'
complete -c sessctl -n "__fish_sessctl_needs_command" -f -a "label" -d 'Give a session labels, or print those that it has'
complete -c sessctl -n "__fish_sessctl_needs_command" -f -a "export" -d 'Write a session as a page, as text, or in the shape of another system'
complete -c sessctl -n "__fish_sessctl_needs_command" -f -a "delete" -d 'Delete a session'
complete -c sessctl -n "__fish_sessctl_needs_command" -f -a "prune" -d 'Delete old sessions by a rule'
complete -c sessctl -n "__fish_sessctl_needs_command" -f -a "trash" -d 'Look at deleted sessions, take them back, or remove them for good'
complete -c sessctl -n "__fish_sessctl_needs_command" -f -a "verify" -d 'Check transcripts and registry without changing anything'
complete -c sessctl -n "__fish_sessctl_needs_command" -f -a "rebuild-index" -d 'Fold the registry again from the transcripts'
complete -c sessctl -n "__fish_sessctl_needs_command" -f -a "repair" -d 'Salvage a damaged transcript into a new file'
complete -c sessctl -n "__fish_sessctl_needs_command" -f -a "completions" -d 'Print what a shell needs to complete the command line'
complete -c sessctl -n "__fish_sessctl_needs_command" -f -a "man" -d 'Write the manual pages, one for each command'
complete -c sessctl -n "__fish_sessctl_needs_command" -f -a "import" -d 'Bring histories of other systems into the store'
complete -c sessctl -n "__fish_sessctl_needs_command" -f -a "doctor" -d 'Examine the store and what it stands on'
complete -c sessctl -n "__fish_sessctl_needs_command" -f -a "quarantine" -d 'Look at what was cut or replaced, take it back, or drop it'
complete -c sessctl -n "__fish_sessctl_using_subcommand append" -l kind -d 'Kind of the records; "message" by default' -r
complete -c sessctl -n "__fish_sessctl_using_subcommand append" -l store -d 'Folder of the store; by default sesslog in `$XDG_DATA_HOME` or `~/.local/share`' -r -F
complete -c sessctl -n "__fish_sessctl_using_subcommand append" -l wait -d 'Time to wait for a session that another process writes to' -r
complete -c sessctl -n "__fish_sessctl_using_subcommand append" -l buffered -d 'Acknowledge before it is durable; make all durable at the end and on SIGTERM'
complete -c sessctl -n "__fish_sessctl_using_subcommand append" -l json -d 'Print JSON lines, each with a "type"; the last is the summary'
complete -c sessctl -n "__fish_sessctl_using_subcommand append" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sessctl -n "__fish_sessctl_using_subcommand list" -l limit -d 'Number of sessions printed at most' -r
complete -c sessctl -n "__fish_sessctl_using_subcommand list" -l sort -d 'Order: times and bytes from high to low, keys from low to high' -r -f -a "updated\t''
created\t''
key\t''
bytes\t''"
complete -c sessctl -n "__fish_sessctl_using_subcommand list" -l state -d 'State of the sessions wanted, as shown' -r -f -a "open\t''
interrupted\t''
pending\t''
suspended\t''
closed\t''
running\t''"
complete -c sessctl -n "__fish_sessctl_using_subcommand list" -l label -d 'Label that the sessions must have; given several times, all of them' -r
complete -c sessctl -n "__fish_sessctl_using_subcommand list" -l active -d 'Time within which a session must have been updated: 90s, 30m, 2h, 7d' -r
complete -c sessctl -n "__fish_sessctl_using_subcommand list" -l store -d 'Folder of the store; by default sesslog in `$XDG_DATA_HOME` or `~/.local/share`' -r -F
complete -c sessctl -n "__fish_sessctl_using_subcommand list" -l wait -d 'Time to wait for a session that another process writes to' -r
complete -c sessctl -n "__fish_sessctl_using_subcommand list" -l all-generations -d 'List closed generations of a key, too'
complete -c sessctl -n "__fish_sessctl_using_subcommand list" -l own -d 'List the store\'s own session, too: ~store, where starts and stops of gateways are kept'
complete -c sessctl -n "__fish_sessctl_using_subcommand list" -l json -d 'Print JSON lines, each with a "type"; the last is the summary'
complete -c sessctl -n "__fish_sessctl_using_subcommand list" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sessctl -n "__fish_sessctl_using_subcommand show" -l generation -d 'Generation of the key; the newest by default' -r
complete -c sessctl -n "__fish_sessctl_using_subcommand show" -l from -d 'First record wanted' -r
complete -c sessctl -n "__fish_sessctl_using_subcommand show" -l tail -d 'Number of records wanted from the end' -r
complete -c sessctl -n "__fish_sessctl_using_subcommand show" -l store -d 'Folder of the store; by default sesslog in `$XDG_DATA_HOME` or `~/.local/share`' -r -F
complete -c sessctl -n "__fish_sessctl_using_subcommand show" -l wait -d 'Time to wait for a session that another process writes to' -r
complete -c sessctl -n "__fish_sessctl_using_subcommand show" -l marks -d 'Print the store\'s own marks, too'
complete -c sessctl -n "__fish_sessctl_using_subcommand show" -l frames -d 'Print whole lines as they stand in the transcript; with --marks also the header'
complete -c sessctl -n "__fish_sessctl_using_subcommand show" -l json -d 'Print JSON lines, each with a "type"; the last is the summary'
complete -c sessctl -n "__fish_sessctl_using_subcommand show" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sessctl -n "__fish_sessctl_using_subcommand context" -l generation -d 'Generation of the key, as it was when it was closed; the newest by default' -r
complete -c sessctl -n "__fish_sessctl_using_subcommand context" -l history -d 'Print the last records that a user would see instead, also those that are summed up' -r
complete -c sessctl -n "__fish_sessctl_using_subcommand context" -l store -d 'Folder of the store; by default sesslog in `$XDG_DATA_HOME` or `~/.local/share`' -r -F
complete -c sessctl -n "__fish_sessctl_using_subcommand context" -l wait -d 'Time to wait for a session that another process writes to' -r
complete -c sessctl -n "__fish_sessctl_using_subcommand context" -l json -d 'Print JSON lines, each with a "type"; the last is the summary'
complete -c sessctl -n "__fish_sessctl_using_subcommand context" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sessctl -n "__fish_sessctl_using_subcommand tail" -s n -l lines -d 'Number of records to begin with' -r
complete -c sessctl -n "__fish_sessctl_using_subcommand tail" -l store -d 'Folder of the store; by default sesslog in `$XDG_DATA_HOME` or `~/.local/share`' -r -F
complete -c sessctl -n "__fish_sessctl_using_subcommand tail" -l wait -d 'Time to wait for a session that another process writes to' -r
complete -c sessctl -n "__fish_sessctl_using_subcommand tail" -s f -l follow -d 'Wait for more records and print them'
complete -c sessctl -n "__fish_sessctl_using_subcommand tail" -l json -d 'Print JSON lines, each with a "type"; the last is the summary'
complete -c sessctl -n "__fish_sessctl_using_subcommand tail" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sessctl -n "__fish_sessctl_using_subcommand grep" -s C -l context -d 'Records to print before and behind each, too' -r
complete -c sessctl -n "__fish_sessctl_using_subcommand grep" -l kind -d 'Look only at records of this kind' -r
complete -c sessctl -n "__fish_sessctl_using_subcommand grep" -l jobs -d 'Number of transcripts read at once; 0 stands for one a core' -r
complete -c sessctl -n "__fish_sessctl_using_subcommand grep" -l store -d 'Folder of the store; by default sesslog in `$XDG_DATA_HOME` or `~/.local/share`' -r -F
complete -c sessctl -n "__fish_sessctl_using_subcommand grep" -l wait -d 'Time to wait for a session that another process writes to' -r
complete -c sessctl -n "__fish_sessctl_using_subcommand grep" -s i -l ignore-case -d 'Letters match whatever their case'
complete -c sessctl -n "__fish_sessctl_using_subcommand grep" -s F -l fixed-strings -d 'The pattern is plain text'
complete -c sessctl -n "__fish_sessctl_using_subcommand grep" -s w -l word-regexp -d 'Only whole words match'
complete -c sessctl -n "__fish_sessctl_using_subcommand grep" -l text -d 'Compare with the strings in a body, not with how JSON spells them'
complete -c sessctl -n "__fish_sessctl_using_subcommand grep" -s l -l sessions-with-matches -d 'Print only the keys of the sessions, each once a generation'
complete -c sessctl -n "__fish_sessctl_using_subcommand grep" -s c -l count -d 'Print only the number of records of each session'
complete -c sessctl -n "__fish_sessctl_using_subcommand grep" -l marks -d 'Look at the store\'s own marks, too'
complete -c sessctl -n "__fish_sessctl_using_subcommand grep" -l json -d 'Print JSON lines, each with a "type"; the last is the summary'
complete -c sessctl -n "__fish_sessctl_using_subcommand grep" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sessctl -n "__fish_sessctl_using_subcommand stats" -l days -d 'Number of days printed, the newest; 0 stands for all' -r
complete -c sessctl -n "__fish_sessctl_using_subcommand stats" -l jobs -d 'Number of transcripts read at once; 0 stands for one a core' -r
complete -c sessctl -n "__fish_sessctl_using_subcommand stats" -l store -d 'Folder of the store; by default sesslog in `$XDG_DATA_HOME` or `~/.local/share`' -r -F
complete -c sessctl -n "__fish_sessctl_using_subcommand stats" -l wait -d 'Time to wait for a session that another process writes to' -r
complete -c sessctl -n "__fish_sessctl_using_subcommand stats" -l json -d 'Print JSON lines, each with a "type"; the last is the summary'
complete -c sessctl -n "__fish_sessctl_using_subcommand stats" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sessctl -n "__fish_sessctl_using_subcommand info" -l generation -d 'Generation of the key; the newest by default' -r
complete -c sessctl -n "__fish_sessctl_using_subcommand info" -l marks -d 'Number of marks printed at most' -r
complete -c sessctl -n "__fish_sessctl_using_subcommand info" -l store -d 'Folder of the store; by default sesslog in `$XDG_DATA_HOME` or `~/.local/share`' -r -F
complete -c sessctl -n "__fish_sessctl_using_subcommand info" -l wait -d 'Time to wait for a session that another process writes to' -r
complete -c sessctl -n "__fish_sessctl_using_subcommand info" -l json -d 'Print JSON lines, each with a "type"; the last is the summary'
complete -c sessctl -n "__fish_sessctl_using_subcommand info" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sessctl -n "__fish_sessctl_using_subcommand path" -l generation -d 'Generation of the key; the newest by default' -r
complete -c sessctl -n "__fish_sessctl_using_subcommand path" -l store -d 'Folder of the store; by default sesslog in `$XDG_DATA_HOME` or `~/.local/share`' -r -F
complete -c sessctl -n "__fish_sessctl_using_subcommand path" -l wait -d 'Time to wait for a session that another process writes to' -r
complete -c sessctl -n "__fish_sessctl_using_subcommand path" -l json -d 'Print JSON lines, each with a "type"; the last is the summary'
complete -c sessctl -n "__fish_sessctl_using_subcommand path" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sessctl -n "__fish_sessctl_using_subcommand mark" -l reason -d 'Why, for whoever looks later; needed by resume-pending and suspend' -r
complete -c sessctl -n "__fish_sessctl_using_subcommand mark" -l store -d 'Folder of the store; by default sesslog in `$XDG_DATA_HOME` or `~/.local/share`' -r -F
complete -c sessctl -n "__fish_sessctl_using_subcommand mark" -l wait -d 'Time to wait for a session that another process writes to' -r
complete -c sessctl -n "__fish_sessctl_using_subcommand mark" -l json -d 'Print JSON lines, each with a "type"; the last is the summary'
complete -c sessctl -n "__fish_sessctl_using_subcommand mark" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sessctl -n "__fish_sessctl_using_subcommand resumable" -l fresh -d 'Age up to which a session is resumed; 0 stands for any [default: 3600]' -r
complete -c sessctl -n "__fish_sessctl_using_subcommand resumable" -l attempts -d 'Number of tries without success after which a session is not resumed; 0 stands for no limit [default: 3]' -r
complete -c sessctl -n "__fish_sessctl_using_subcommand resumable" -l store -d 'Folder of the store; by default sesslog in `$XDG_DATA_HOME` or `~/.local/share`' -r -F
complete -c sessctl -n "__fish_sessctl_using_subcommand resumable" -l wait -d 'Time to wait for a session that another process writes to' -r
complete -c sessctl -n "__fish_sessctl_using_subcommand resumable" -l json -d 'Print JSON lines, each with a "type"; the last is the summary'
complete -c sessctl -n "__fish_sessctl_using_subcommand resumable" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sessctl -n "__fish_sessctl_using_subcommand reset" -l reason -d 'Why, for whoever looks later' -r
complete -c sessctl -n "__fish_sessctl_using_subcommand reset" -l store -d 'Folder of the store; by default sesslog in `$XDG_DATA_HOME` or `~/.local/share`' -r -F
complete -c sessctl -n "__fish_sessctl_using_subcommand reset" -l wait -d 'Time to wait for a session that another process writes to' -r
complete -c sessctl -n "__fish_sessctl_using_subcommand reset" -l json -d 'Print JSON lines, each with a "type"; the last is the summary'
complete -c sessctl -n "__fish_sessctl_using_subcommand reset" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sessctl -n "__fish_sessctl_using_subcommand undo" -l store -d 'Folder of the store; by default sesslog in `$XDG_DATA_HOME` or `~/.local/share`' -r -F
complete -c sessctl -n "__fish_sessctl_using_subcommand undo" -l wait -d 'Time to wait for a session that another process writes to' -r
complete -c sessctl -n "__fish_sessctl_using_subcommand undo" -l dry-run -d 'Only say what would be done'
complete -c sessctl -n "__fish_sessctl_using_subcommand undo" -l json -d 'Print JSON lines, each with a "type"; the last is the summary'
complete -c sessctl -n "__fish_sessctl_using_subcommand undo" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sessctl -n "__fish_sessctl_using_subcommand fork" -l at -d 'Last record taken along, 0 standing for none; the last one by default' -r
complete -c sessctl -n "__fish_sessctl_using_subcommand fork" -l generation -d 'Generation of the parent; the newest by default' -r
complete -c sessctl -n "__fish_sessctl_using_subcommand fork" -l store -d 'Folder of the store; by default sesslog in `$XDG_DATA_HOME` or `~/.local/share`' -r -F
complete -c sessctl -n "__fish_sessctl_using_subcommand fork" -l wait -d 'Time to wait for a session that another process writes to' -r
complete -c sessctl -n "__fish_sessctl_using_subcommand fork" -l dry-run -d 'Only say what would be done'
complete -c sessctl -n "__fish_sessctl_using_subcommand fork" -l json -d 'Print JSON lines, each with a "type"; the last is the summary'
complete -c sessctl -n "__fish_sessctl_using_subcommand fork" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sessctl -n "__fish_sessctl_using_subcommand title" -l store -d 'Folder of the store; by default sesslog in `$XDG_DATA_HOME` or `~/.local/share`' -r -F
complete -c sessctl -n "__fish_sessctl_using_subcommand title" -l wait -d 'Time to wait for a session that another process writes to' -r
complete -c sessctl -n "__fish_sessctl_using_subcommand title" -l json -d 'Print JSON lines, each with a "type"; the last is the summary'
complete -c sessctl -n "__fish_sessctl_using_subcommand title" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sessctl -n "__fish_sessctl_using_subcommand label" -l store -d 'Folder of the store; by default sesslog in `$XDG_DATA_HOME` or `~/.local/share`' -r -F
complete -c sessctl -n "__fish_sessctl_using_subcommand label" -l wait -d 'Time to wait for a session that another process writes to' -r
complete -c sessctl -n "__fish_sessctl_using_subcommand label" -l clear -d 'Take all labels away'
complete -c sessctl -n "__fish_sessctl_using_subcommand label" -l json -d 'Print JSON lines, each with a "type"; the last is the summary'
complete -c sessctl -n "__fish_sessctl_using_subcommand label" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sessctl -n "__fish_sessctl_using_subcommand export" -l as -d 'What to write it as' -r -f -a "jsonl\t''
markdown\t''
html\t''
openai\t''
pi\t''
as-imported\t''"
complete -c sessctl -n "__fish_sessctl_using_subcommand export" -l generation -d 'Generation of the key; the newest by default' -r
complete -c sessctl -n "__fish_sessctl_using_subcommand export" -l output -d 'File to write, replaced as a whole; readable for its owner only. Standard output by default' -r -F
complete -c sessctl -n "__fish_sessctl_using_subcommand export" -l store -d 'Folder of the store; by default sesslog in `$XDG_DATA_HOME` or `~/.local/share`' -r -F
complete -c sessctl -n "__fish_sessctl_using_subcommand export" -l wait -d 'Time to wait for a session that another process writes to' -r
complete -c sessctl -n "__fish_sessctl_using_subcommand export" -l redact -d 'Replace what looks like a key, a token or a password'
complete -c sessctl -n "__fish_sessctl_using_subcommand export" -l active -d 'Only what a model should see now'
complete -c sessctl -n "__fish_sessctl_using_subcommand export" -l json -d 'Print JSON lines, each with a "type"; the last is the summary'
complete -c sessctl -n "__fish_sessctl_using_subcommand export" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sessctl -n "__fish_sessctl_using_subcommand delete" -l generation -d 'Generation of the key; all of them by default' -r
complete -c sessctl -n "__fish_sessctl_using_subcommand delete" -l store -d 'Folder of the store; by default sesslog in `$XDG_DATA_HOME` or `~/.local/share`' -r -F
complete -c sessctl -n "__fish_sessctl_using_subcommand delete" -l wait -d 'Time to wait for a session that another process writes to' -r
complete -c sessctl -n "__fish_sessctl_using_subcommand delete" -l purge -d 'Delete for good instead of to the trash'
complete -c sessctl -n "__fish_sessctl_using_subcommand delete" -l dry-run -d 'Only say what would be done, and whether somebody writes to the session'
complete -c sessctl -n "__fish_sessctl_using_subcommand delete" -l json -d 'Print JSON lines, each with a "type"; the last is the summary'
complete -c sessctl -n "__fish_sessctl_using_subcommand delete" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sessctl -n "__fish_sessctl_using_subcommand prune" -l older-than -d 'Rule: sessions not active for longer than this: 90s, 30m, 2h, 7d' -r
complete -c sessctl -n "__fish_sessctl_using_subcommand prune" -l keep-newest -d 'Rule: all but this many sessions' -r
complete -c sessctl -n "__fish_sessctl_using_subcommand prune" -l max-bytes -d 'Rule: sessions until all transcripts together have at most this many bytes' -r
complete -c sessctl -n "__fish_sessctl_using_subcommand prune" -l store -d 'Folder of the store; by default sesslog in `$XDG_DATA_HOME` or `~/.local/share`' -r -F
complete -c sessctl -n "__fish_sessctl_using_subcommand prune" -l wait -d 'Time to wait for a session that another process writes to' -r
complete -c sessctl -n "__fish_sessctl_using_subcommand prune" -l purge -d 'Delete for good instead of to the trash'
complete -c sessctl -n "__fish_sessctl_using_subcommand prune" -l dry-run -d 'Only say what would be done'
complete -c sessctl -n "__fish_sessctl_using_subcommand prune" -l json -d 'Print JSON lines, each with a "type"; the last is the summary'
complete -c sessctl -n "__fish_sessctl_using_subcommand prune" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sessctl -n "__fish_sessctl_using_subcommand trash; and not __fish_seen_subcommand_from list restore empty" -l store -d 'Folder of the store; by default sesslog in `$XDG_DATA_HOME` or `~/.local/share`' -r -F
complete -c sessctl -n "__fish_sessctl_using_subcommand trash; and not __fish_seen_subcommand_from list restore empty" -l wait -d 'Time to wait for a session that another process writes to' -r
complete -c sessctl -n "__fish_sessctl_using_subcommand trash; and not __fish_seen_subcommand_from list restore empty" -l json -d 'Print JSON lines, each with a "type"; the last is the summary'
complete -c sessctl -n "__fish_sessctl_using_subcommand trash; and not __fish_seen_subcommand_from list restore empty" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sessctl -n "__fish_sessctl_using_subcommand trash; and not __fish_seen_subcommand_from list restore empty" -f -a "list" -d 'List what is in the trash'
complete -c sessctl -n "__fish_sessctl_using_subcommand trash; and not __fish_seen_subcommand_from list restore empty" -f -a "restore" -d 'Take a deleted session back'
complete -c sessctl -n "__fish_sessctl_using_subcommand trash; and not __fish_seen_subcommand_from list restore empty" -f -a "empty" -d 'Remove from the trash for good'
complete -c sessctl -n "__fish_sessctl_using_subcommand trash; and __fish_seen_subcommand_from list" -l store -d 'Folder of the store; by default sesslog in `$XDG_DATA_HOME` or `~/.local/share`' -r -F
complete -c sessctl -n "__fish_sessctl_using_subcommand trash; and __fish_seen_subcommand_from list" -l wait -d 'Time to wait for a session that another process writes to' -r
complete -c sessctl -n "__fish_sessctl_using_subcommand trash; and __fish_seen_subcommand_from list" -l json -d 'Print JSON lines, each with a "type"; the last is the summary'
complete -c sessctl -n "__fish_sessctl_using_subcommand trash; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sessctl -n "__fish_sessctl_using_subcommand trash; and __fish_seen_subcommand_from restore" -l generation -d 'Generation of the key; may be given several times; all in the trash by default' -r
complete -c sessctl -n "__fish_sessctl_using_subcommand trash; and __fish_seen_subcommand_from restore" -l store -d 'Folder of the store; by default sesslog in `$XDG_DATA_HOME` or `~/.local/share`' -r -F
complete -c sessctl -n "__fish_sessctl_using_subcommand trash; and __fish_seen_subcommand_from restore" -l wait -d 'Time to wait for a session that another process writes to' -r
complete -c sessctl -n "__fish_sessctl_using_subcommand trash; and __fish_seen_subcommand_from restore" -l dry-run -d 'Only say what would be done'
complete -c sessctl -n "__fish_sessctl_using_subcommand trash; and __fish_seen_subcommand_from restore" -l json -d 'Print JSON lines, each with a "type"; the last is the summary'
complete -c sessctl -n "__fish_sessctl_using_subcommand trash; and __fish_seen_subcommand_from restore" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sessctl -n "__fish_sessctl_using_subcommand trash; and __fish_seen_subcommand_from empty" -l older-than -d 'Time since the deletion after which a transcript is removed: 90s, 30m, 2h, 7d; all are by default' -r
complete -c sessctl -n "__fish_sessctl_using_subcommand trash; and __fish_seen_subcommand_from empty" -l store -d 'Folder of the store; by default sesslog in `$XDG_DATA_HOME` or `~/.local/share`' -r -F
complete -c sessctl -n "__fish_sessctl_using_subcommand trash; and __fish_seen_subcommand_from empty" -l wait -d 'Time to wait for a session that another process writes to' -r
complete -c sessctl -n "__fish_sessctl_using_subcommand trash; and __fish_seen_subcommand_from empty" -l dry-run -d 'Only say what would be done'
complete -c sessctl -n "__fish_sessctl_using_subcommand trash; and __fish_seen_subcommand_from empty" -l json -d 'Print JSON lines, each with a "type"; the last is the summary'
complete -c sessctl -n "__fish_sessctl_using_subcommand trash; and __fish_seen_subcommand_from empty" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sessctl -n "__fish_sessctl_using_subcommand verify" -l jobs -d 'Number of transcripts read at once; 0 stands for one a core' -r
complete -c sessctl -n "__fish_sessctl_using_subcommand verify" -l against -d 'Files and folders of histories: check instead whether every byte of them was imported' -r -F
complete -c sessctl -n "__fish_sessctl_using_subcommand verify" -l from -d 'System that wrote them; auto takes each file for what it looks like' -r -f -a "auto\t''
openclaw\t''
pi\t''
codex\t''
hermes\t''
nanobot\t''
claude-code\t''
jsonl\t''"
complete -c sessctl -n "__fish_sessctl_using_subcommand verify" -l key-prefix -d 'What stands before the system\'s own name of a session in its key, instead of pi: and the like' -r
complete -c sessctl -n "__fish_sessctl_using_subcommand verify" -l store -d 'Folder of the store; by default sesslog in `$XDG_DATA_HOME` or `~/.local/share`' -r -F
complete -c sessctl -n "__fish_sessctl_using_subcommand verify" -l wait -d 'Time to wait for a session that another process writes to' -r
complete -c sessctl -n "__fish_sessctl_using_subcommand verify" -l deep -d 'Parse the JSON of every body, too'
complete -c sessctl -n "__fish_sessctl_using_subcommand verify" -l json -d 'Print JSON lines, each with a "type"; the last is the summary'
complete -c sessctl -n "__fish_sessctl_using_subcommand verify" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sessctl -n "__fish_sessctl_using_subcommand rebuild-index" -l jobs -d 'Number of transcripts read at once; 0 stands for one a core' -r
complete -c sessctl -n "__fish_sessctl_using_subcommand rebuild-index" -l store -d 'Folder of the store; by default sesslog in `$XDG_DATA_HOME` or `~/.local/share`' -r -F
complete -c sessctl -n "__fish_sessctl_using_subcommand rebuild-index" -l wait -d 'Time to wait for a session that another process writes to' -r
complete -c sessctl -n "__fish_sessctl_using_subcommand rebuild-index" -l dry-run -d 'Only report what is not as it should be; exit status 4 if a run would mend it'
complete -c sessctl -n "__fish_sessctl_using_subcommand rebuild-index" -l no-truncate -d 'Leave torn tails where they are'
complete -c sessctl -n "__fish_sessctl_using_subcommand rebuild-index" -l accept-loss -d 'Forget records and transcripts that the registry knows of and that are gone, after a restored backup'
complete -c sessctl -n "__fish_sessctl_using_subcommand rebuild-index" -l json -d 'Print JSON lines, each with a "type"; the last is the summary'
complete -c sessctl -n "__fish_sessctl_using_subcommand rebuild-index" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sessctl -n "__fish_sessctl_using_subcommand repair" -l generation -d 'Generation of the key; the newest by default' -r
complete -c sessctl -n "__fish_sessctl_using_subcommand repair" -l store -d 'Folder of the store; by default sesslog in `$XDG_DATA_HOME` or `~/.local/share`' -r -F
complete -c sessctl -n "__fish_sessctl_using_subcommand repair" -l wait -d 'Time to wait for a session that another process writes to' -r
complete -c sessctl -n "__fish_sessctl_using_subcommand repair" -l dry-run -d 'Only say what would be done'
complete -c sessctl -n "__fish_sessctl_using_subcommand repair" -l json -d 'Print JSON lines, each with a "type"; the last is the summary'
complete -c sessctl -n "__fish_sessctl_using_subcommand repair" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sessctl -n "__fish_sessctl_using_subcommand completions" -l store -d 'Folder of the store; by default sesslog in `$XDG_DATA_HOME` or `~/.local/share`' -r -F
complete -c sessctl -n "__fish_sessctl_using_subcommand completions" -l wait -d 'Time to wait for a session that another process writes to' -r
complete -c sessctl -n "__fish_sessctl_using_subcommand completions" -l json -d 'Print JSON lines, each with a "type"; the last is the summary'
complete -c sessctl -n "__fish_sessctl_using_subcommand completions" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sessctl -n "__fish_sessctl_using_subcommand man" -l store -d 'Folder of the store; by default sesslog in `$XDG_DATA_HOME` or `~/.local/share`' -r -F
complete -c sessctl -n "__fish_sessctl_using_subcommand man" -l wait -d 'Time to wait for a session that another process writes to' -r
complete -c sessctl -n "__fish_sessctl_using_subcommand man" -l json -d 'Print JSON lines, each with a "type"; the last is the summary'
complete -c sessctl -n "__fish_sessctl_using_subcommand man" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sessctl -n "__fish_sessctl_using_subcommand import" -l from -d 'System that wrote them; auto takes each file for what it looks like' -r -f -a "auto\t''
openclaw\t''
pi\t''
codex\t''
hermes\t''
nanobot\t''
claude-code\t''
jsonl\t''"
complete -c sessctl -n "__fish_sessctl_using_subcommand import" -l key-prefix -d 'What stands before the system\'s own name of a session in its key, instead of pi: and the like' -r
complete -c sessctl -n "__fish_sessctl_using_subcommand import" -l jobs -d 'Number of files imported at once; 0 stands for eight a core' -r
complete -c sessctl -n "__fish_sessctl_using_subcommand import" -l store -d 'Folder of the store; by default sesslog in `$XDG_DATA_HOME` or `~/.local/share`' -r -F
complete -c sessctl -n "__fish_sessctl_using_subcommand import" -l wait -d 'Time to wait for a session that another process writes to' -r
complete -c sessctl -n "__fish_sessctl_using_subcommand import" -l dry-run -d 'Only say what would be done'
complete -c sessctl -n "__fish_sessctl_using_subcommand import" -l json -d 'Print JSON lines, each with a "type"; the last is the summary'
complete -c sessctl -n "__fish_sessctl_using_subcommand import" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sessctl -n "__fish_sessctl_using_subcommand doctor" -l ignore -d 'Pass over findings with this id; may be given several times' -r
complete -c sessctl -n "__fish_sessctl_using_subcommand doctor" -l jobs -d 'Number of transcripts read at once; 0 stands for one a core' -r
complete -c sessctl -n "__fish_sessctl_using_subcommand doctor" -l store -d 'Folder of the store; by default sesslog in `$XDG_DATA_HOME` or `~/.local/share`' -r -F
complete -c sessctl -n "__fish_sessctl_using_subcommand doctor" -l wait -d 'Time to wait for a session that another process writes to' -r
complete -c sessctl -n "__fish_sessctl_using_subcommand doctor" -l fix -d 'Settle what can be settled without losing anything'
complete -c sessctl -n "__fish_sessctl_using_subcommand doctor" -l quick -d 'Do not try out syncs and locks'
complete -c sessctl -n "__fish_sessctl_using_subcommand doctor" -l json -d 'Print JSON lines, each with a "type"; the last is the summary'
complete -c sessctl -n "__fish_sessctl_using_subcommand doctor" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sessctl -n "__fish_sessctl_using_subcommand quarantine; and not __fish_seen_subcommand_from list show restore drop" -l store -d 'Folder of the store; by default sesslog in `$XDG_DATA_HOME` or `~/.local/share`' -r -F
complete -c sessctl -n "__fish_sessctl_using_subcommand quarantine; and not __fish_seen_subcommand_from list show restore drop" -l wait -d 'Time to wait for a session that another process writes to' -r
complete -c sessctl -n "__fish_sessctl_using_subcommand quarantine; and not __fish_seen_subcommand_from list show restore drop" -l json -d 'Print JSON lines, each with a "type"; the last is the summary'
complete -c sessctl -n "__fish_sessctl_using_subcommand quarantine; and not __fish_seen_subcommand_from list show restore drop" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sessctl -n "__fish_sessctl_using_subcommand quarantine; and not __fish_seen_subcommand_from list show restore drop" -f -a "list" -d 'List what is in the quarantine'
complete -c sessctl -n "__fish_sessctl_using_subcommand quarantine; and not __fish_seen_subcommand_from list show restore drop" -f -a "show" -d 'Print a file of the quarantine'
complete -c sessctl -n "__fish_sessctl_using_subcommand quarantine; and not __fish_seen_subcommand_from list show restore drop" -f -a "restore" -d 'Put an original back in the place from where a repair took it'
complete -c sessctl -n "__fish_sessctl_using_subcommand quarantine; and not __fish_seen_subcommand_from list show restore drop" -f -a "drop" -d 'Remove from the quarantine for good'
complete -c sessctl -n "__fish_sessctl_using_subcommand quarantine; and __fish_seen_subcommand_from list" -l store -d 'Folder of the store; by default sesslog in `$XDG_DATA_HOME` or `~/.local/share`' -r -F
complete -c sessctl -n "__fish_sessctl_using_subcommand quarantine; and __fish_seen_subcommand_from list" -l wait -d 'Time to wait for a session that another process writes to' -r
complete -c sessctl -n "__fish_sessctl_using_subcommand quarantine; and __fish_seen_subcommand_from list" -l json -d 'Print JSON lines, each with a "type"; the last is the summary'
complete -c sessctl -n "__fish_sessctl_using_subcommand quarantine; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sessctl -n "__fish_sessctl_using_subcommand quarantine; and __fish_seen_subcommand_from show" -l store -d 'Folder of the store; by default sesslog in `$XDG_DATA_HOME` or `~/.local/share`' -r -F
complete -c sessctl -n "__fish_sessctl_using_subcommand quarantine; and __fish_seen_subcommand_from show" -l wait -d 'Time to wait for a session that another process writes to' -r
complete -c sessctl -n "__fish_sessctl_using_subcommand quarantine; and __fish_seen_subcommand_from show" -l json -d 'Print JSON lines, each with a "type"; the last is the summary'
complete -c sessctl -n "__fish_sessctl_using_subcommand quarantine; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sessctl -n "__fish_sessctl_using_subcommand quarantine; and __fish_seen_subcommand_from restore" -l store -d 'Folder of the store; by default sesslog in `$XDG_DATA_HOME` or `~/.local/share`' -r -F
complete -c sessctl -n "__fish_sessctl_using_subcommand quarantine; and __fish_seen_subcommand_from restore" -l wait -d 'Time to wait for a session that another process writes to' -r
complete -c sessctl -n "__fish_sessctl_using_subcommand quarantine; and __fish_seen_subcommand_from restore" -l json -d 'Print JSON lines, each with a "type"; the last is the summary'
complete -c sessctl -n "__fish_sessctl_using_subcommand quarantine; and __fish_seen_subcommand_from restore" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sessctl -n "__fish_sessctl_using_subcommand quarantine; and __fish_seen_subcommand_from drop" -l older-than -d 'Time in the quarantine after which a file is removed: 90s, 30m, 2h, 7d' -r
complete -c sessctl -n "__fish_sessctl_using_subcommand quarantine; and __fish_seen_subcommand_from drop" -l store -d 'Folder of the store; by default sesslog in `$XDG_DATA_HOME` or `~/.local/share`' -r -F
complete -c sessctl -n "__fish_sessctl_using_subcommand quarantine; and __fish_seen_subcommand_from drop" -l wait -d 'Time to wait for a session that another process writes to' -r
complete -c sessctl -n "__fish_sessctl_using_subcommand quarantine; and __fish_seen_subcommand_from drop" -l dry-run -d 'Only say what would be done'
complete -c sessctl -n "__fish_sessctl_using_subcommand quarantine; and __fish_seen_subcommand_from drop" -l json -d 'Print JSON lines, each with a "type"; the last is the summary'
complete -c sessctl -n "__fish_sessctl_using_subcommand quarantine; and __fish_seen_subcommand_from drop" -s h -l help -d 'Print help (see more with \'--help\')'
