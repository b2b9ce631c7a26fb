"""``sgldoctor completion``: a script that completes commands, options and their values in a shell.

The scripts are made from the commands' own options, and hold all of them: at a TAB nothing of the doctor is started.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable

from sgldoctor.cli import COMMANDS
from sgldoctor.cli.options import Option, Parser

EPILOG = """examples:
  sgldoctor completion bash > ~/.local/share/bash-completion/completions/sgldoctor
  sgldoctor completion zsh > ~/.zfunc/_sgldoctor          with 'fpath+=~/.zfunc' before compinit in ~/.zshrc
  sgldoctor completion fish > ~/.config/fish/completions/sgldoctor.fish
  source <(sgldoctor completion bash)                     for this shell only
"""
_HELP = Option(("-h", "--help"), "show the help text", "", (), False)


def main(arguments: list[str]) -> int:
    """Run the command; returns the exit status."""
    made = Parser("sgldoctor completion", "Print a completion script for a shell.", EPILOG)
    made.add_argument("shell", choices=("bash", "zsh", "fish"), help="the shell to complete in")
    args = made.parse_args(arguments)
    from sgldoctor.cli.describe import parsers

    options = {command: [*parser.options(), _HELP] for command, parser in parsers().items()}
    sys.stdout.write({"bash": _bash, "zsh": _zsh, "fish": _fish}[args.shell](options))
    return 0


def _flags(options: Iterable[Option]) -> list[Option]:
    return [option for option in options if option.names[0].startswith("-")]


def _places(options: Iterable[Option]) -> list[Option]:
    return [option for option in options if not option.names[0].startswith("-")]


def _files(option: Option) -> bool:
    """Whether the value may be the name of a file."""
    return not option.choices and option.metavar.split("|")[0] in ("FILE", "DIR", "PATH", "MODEL", "M")


def _bash(options: dict[str, list[Option]]) -> str:
    cases, values = [], []
    for command, all_ in options.items():
        flags, places = _flags(all_), _places(all_)
        words = [name for option in flags for name in option.names]
        words += [choice for option in places for choice in option.choices]
        cases.append(f"    {command}) words='{' '.join(words)}' ;;")
        for option in flags:
            names = "|".join(f"{command}:{name}" for name in option.names)
            if option.choices:
                choices = f"COMPREPLY=($(compgen -W '{' '.join(option.choices)}' -- \"$now\"))"
                values.append(f"    {names}) {choices}; return ;;")
            elif option.takes:
                values.append(f"    {names}) {'compopt -o default' if _files(option) else ':'}; return ;;")
    return f"""# bash completion of sgldoctor, made by 'sgldoctor completion bash'
_sgldoctor() {{
  local now=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD-1]}} command=${{COMP_WORDS[1]}} words= word
  COMPREPLY=()
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W '{" ".join(options)} --help --version --explain-json-schema' -- "$now"))
    return
  fi
  for word in "${{COMP_WORDS[@]:2:COMP_CWORD-2}}"; do
    if [ "$word" = -- ]; then compopt -o default; return; fi
  done
  case "$command:$before" in
{chr(10).join(values)}
  esac
  case "$command" in
{chr(10).join(cases)}
  esac
  COMPREPLY=($(compgen -W "$words" -- "$now"))
  [ "${{#COMPREPLY[@]}}" -gt 0 ] || compopt -o default
}}
complete -F _sgldoctor sgldoctor
"""


def _plain(text: str) -> str:
    """A help text inside the quotes and brackets of a shell."""
    return text.replace("%(default)s", "").replace("%%", "%").translate(dict.fromkeys(map(ord, "'\"\\[]:`$"), " "))


def _zsh(options: dict[str, list[Option]]) -> str:
    out = ["#compdef sgldoctor", "# zsh completion of sgldoctor, made by 'sgldoctor completion zsh'", "_sgldoctor() {"]
    out += ["  local -a commands", "  local context state line", "  commands=("]
    out += [f"    '{command}:{_plain(text)}'" for command, text in COMMANDS.items()]
    out += [
        "  )",
        "  _arguments -C '(- *)'{-h,--help}'[show the help text]' '(- *)--version[show the version]' \\",
        "    '(- *)--explain-json-schema[print the JSON schema of a report]' \\",
        "    '1:command:->command' '*::argument:->rest'",
        "  if [[ $state == command ]]; then _describe command commands; return; fi",
        "  case $line[1] in",
    ]  # fmt: skip
    for command, all_ in options.items():
        specs = []
        for option in _flags(all_):
            value = ""
            if option.choices:
                value = f":value:({' '.join(option.choices)})"
            elif option.takes:
                value = f":{_plain(option.metavar) or 'value'}:{'_files' if _files(option) else ' '}"
            specs += [f"'*{name}[{_plain(option.help)}]{value}'" for name in option.names]
        for option in _places(all_):
            if option.choices:
                specs.append(f"'1:{option.names[0]}:({' '.join(option.choices)})'")
        specs.append("'*:file:_files'")
        out.append(f"    {command}) _arguments -s \\\n      " + " \\\n      ".join(specs) + " ;;")
    out += [
        "  esac",
        "}",
        'if [ "$funcstack[1]" = _sgldoctor ]; then _sgldoctor "$@"; else compdef _sgldoctor sgldoctor; fi',
    ]
    return "\n".join(out) + "\n"


def _fish(options: dict[str, list[Option]]) -> str:
    out = ["# fish completion of sgldoctor, made by 'sgldoctor completion fish'"]
    out += [
        f"complete -c sgldoctor -n __fish_use_subcommand -f -a {command} -d '{_plain(text)}'"
        for command, text in COMMANDS.items()
    ]
    for command, all_ in options.items():
        at = f"complete -c sgldoctor -n '__fish_seen_subcommand_from {command}'"
        for option in _flags(all_):
            names = "".join(f" -l {name[2:]}" if name.startswith("--") else f" -s {name[1:]}" for name in option.names)
            value = ""
            if option.choices:
                value = f" -x -a '{' '.join(option.choices)}'"
            elif option.takes:
                value = " -r" if _files(option) else " -x"
            out.append(f"{at}{names}{value} -d '{_plain(option.help)}'")
        out += [f"{at} -a '{' '.join(option.choices)}'" for option in _places(all_) if option.choices]
    return "\n".join(out) + "\n"
