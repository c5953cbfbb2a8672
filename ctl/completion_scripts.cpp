#include "ctl/completion.h"

namespace chaos::ctl {
namespace {

constexpr std::string_view kBash = R"sh(# bash completion for chaosctl: source <(chaosctl completion bash)
_chaosctl() {
  local rest=$COMP_LINE word cur line i
  local -a words=()
  # bash splits at = and : as well; put together what has no blank between.
  for ((i = 0; i <= COMP_CWORD; i++)); do
    word=${COMP_WORDS[i]}
    if ((i == 0)) || [[ $rest == [[:space:]]* ]]; then
      words+=("$word")
      rest=${rest#"${rest%%[![:space:]]*}"}
    else
      words[${#words[@]} - 1]+=$word
    fi
    rest=${rest#"$word"}
  done
  cur=${words[${#words[@]} - 1]}
  # What bash replaces is only the part behind the last = or :.
  local kept=${cur%"${cur##*[=:]}"}
  COMPREPLY=()
  while IFS= read -r line; do
    word=${line%%$'\t'*}
    [[ $word == *= ]] && compopt -o nospace
    COMPREPLY+=("${word#"$kept"}")
  done < <("${words[0]}" __complete "${words[@]:1}" 2>/dev/null)
}
complete -o default -F _chaosctl chaosctl
)sh";

constexpr std::string_view kZsh = R"sh(#compdef chaosctl
# zsh completion for chaosctl: chaosctl completion zsh > "${fpath[1]}/_chaosctl"
_chaosctl() {
  local line value help entry
  local -a plain open
  while IFS= read -r line; do
    value=${line%%$'\t'*}
    help=${line#*$'\t'}
    entry=${value//:/\\:}${help:+:$help}
    if [[ $value == *= ]]; then
      open+=("$entry")
    else
      plain+=("$entry")
    fi
  done < <("${words[1]}" __complete "${(@)words[2,$CURRENT]}" 2>/dev/null)
  if ((!$#plain && !$#open)); then
    _files
    return
  fi
  ((!$#plain)) || _describe -V chaosctl plain
  ((!$#open)) || _describe -V chaosctl open -S ''
}
if [[ $funcstack[1] == _chaosctl ]]; then
  _chaosctl "$@"
else
  compdef _chaosctl chaosctl
fi
)sh";

constexpr std::string_view kFish = R"sh(# fish completion for chaosctl: chaosctl completion fish | source
function __chaosctl_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    $words[1] __complete $words[2..-1] "$current" 2>/dev/null
end
complete -c chaosctl -f -a '(__chaosctl_complete)'
complete -c chaosctl -n '__fish_seen_subcommand_from check' -F
)sh";

}  // namespace

std::string_view completion_script(std::string_view shell) {
  if (shell == "bash") return kBash;
  if (shell == "zsh") return kZsh;
  if (shell == "fish") return kFish;
  return {};
}

}  // namespace chaos::ctl
