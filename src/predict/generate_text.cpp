// SPDX-License-Identifier: Apache-2.0
#include "predict/generate_text.hpp"

#include <algorithm>
#include <string_view>

#include "base/log.hpp"
#include "comm/agreement.hpp"
#include "recipe/goals.hpp"
#include "recipe/load.hpp"

namespace polyphase {
namespace {

// How the phase's model is asked, and what its tokens say.
class Asking {
 public:
  Asking(TrainedPhase& trained, const GenerationSettings& settings)
      : trained_(trained), settings_(settings) {
    const recipe::Phase& phase = trained.phase();
    const bool task = phase.task && phase.task->kind == recipe::TaskKind::kGeneration;
    const bool continues =
        phase.objectives.contains("clm") || phase.objectives.contains("prefix_lm");
    if (!task && !continues) {
      fail<RecipeError>(
          "phase {} trains for {}, which generates no text; a phase with the task "
          "generation or the objective clm or prefix_lm does",
          phase.name, recipe::goal_name(phase));
    }
    encoder_ = trained.recipe().model.family == recipe::Family::kT5;
    separated_ = task && !encoder_;
    max_tokens_ = recipe::max_tokens_of(trained.recipe(), phase);
    settings_.max_new_tokens = std::min(settings.max_new_tokens, max_tokens_ - 1);
  }

  const GenerationSettings& settings() const { return settings_; }

  // Whether the text had to be cut.
  bool add(const std::string& text, GenerationInput& input) {
    std::vector<std::int32_t> tokens = trained_.tokenizer().encode(text);
    const std::int64_t special = separated_ ? 2 : 1;
    // A long prompt leaves half of the room, if so much is asked for, to what follows.
    const std::int64_t reserved =
        encoder_ ? 0 : std::min(settings_.max_new_tokens, max_tokens_ / 2);
    const std::int64_t room = max_tokens_ - special - reserved;
    const std::int64_t too_many = static_cast<std::int64_t>(tokens.size()) - room;
    if (too_many > 0) {  // of a source the head stays, as in training; of a prompt the end goes on
      const bool source = encoder_ || separated_;
      tokens.erase(source ? tokens.end() - too_many : tokens.begin(),
                   source ? tokens.end() : tokens.begin() + too_many);
    }
    if (encoder_ || separated_) tokens.push_back(text::kSepId);
    if (encoder_) {
      input.sources.push_back(std::move(tokens));
      input.prompts.push_back({text::kClsId});
    } else {
      tokens.insert(tokens.begin(), text::kClsId);
      input.prompts.push_back(std::move(tokens));
    }
    input.max_tokens = max_tokens_;
    input.prompts_are_prefixes = !encoder_ && trained_.phase().objectives.contains("prefix_lm");
    input.num_pieces = trained_.tokenizer().vocab_size();
    return too_many > 0;
  }

  // What the tokens say behind their prompt.
  std::string text_of(const std::vector<std::int32_t>& prompt,
                      const std::vector<std::int32_t>& tokens) const {
    if (encoder_ || separated_) return trained_.tokenizer().decode(tokens);
    std::vector<std::int32_t> all(prompt.begin() + 1, prompt.end());
    const std::string before = trained_.tokenizer().decode(all);
    all.insert(all.end(), tokens.begin(), tokens.end());
    const std::string whole = trained_.tokenizer().decode(all);
    return whole.starts_with(before) ? whole.substr(before.size())
                                     : trained_.tokenizer().decode(tokens);
  }

 private:
  TrainedPhase& trained_;
  GenerationSettings settings_;
  bool encoder_ = false, separated_ = false;
  std::int64_t max_tokens_ = 0;
};

void warn_of_cut(const TrainedPhase& trained, std::int64_t num_cut) {
  if (num_cut == 0) return;
  log_warning("{} texts did not fit into max_tokens ({}) and were cut", num_cut,
              recipe::max_tokens_of(trained.recipe(), trained.phase()));
}

std::string escaped(const std::string& text) {
  std::string result;
  for (const char c : text) {
    if (c == '\n') {
      result += "\\n";
    } else if (c == '\\') {
      result += "\\\\";
    } else {
      result += c;
    }
  }
  return result;
}

// The other way round.
std::string unescaped(std::string_view line) {
  std::string result;
  for (std::size_t i = 0; i < line.size(); ++i) {
    const bool escapes = line[i] == '\\' && i + 1 < line.size();
    result += !escapes ? line[i] : line[++i] == 'n' ? '\n' : line[i];
  }
  return result;
}

// A text as a line of a gathered block.
std::string to_line(const WrittenText& written) {
  return fmt::format("{} {} {}\n", written.num_tokens, written.is_of_cut ? 1 : 0,
                     escaped(written.text));
}

void append_lines(const std::string& block, std::vector<WrittenText>& written) {
  for (std::size_t at = 0; at < block.size();) {
    const std::size_t blank = block.find(' ', at), end = block.find('\n', at);
    const std::size_t text = blank + 3;
    written.push_back({.text = unescaped(std::string_view(block).substr(text, end - text)),
                       .num_tokens = std::stoll(block.substr(at, blank - at)),
                       .is_of_cut = block[blank + 1] == '1'});
    at = end + 1;
  }
}

}  // namespace

std::vector<WrittenText> write_texts(TrainedPhase& trained, const Communicator& world,
                                     const std::vector<std::string>& texts,
                                     const GenerationSettings& settings,
                                     std::int64_t first_number) {
  const Communicator& data = trained.grid().data;
  std::string mine;
  agree_on(world, [&] {
    Asking asking(trained, settings);
    const auto n = static_cast<std::int64_t>(texts.size());
    const std::int64_t groups = (n + kTextsTogether - 1) / kTextsTogether;
    const std::int64_t begin = data.rank() * groups / data.size(),
                       end = (data.rank() + 1) * groups / data.size();
    for (std::int64_t group = begin; group < end; ++group) {
      const std::int64_t first = group * kTextsTogether;
      GenerationInput input = {.first_number = static_cast<std::uint64_t>(first_number + first)};
      std::vector<bool> cut;
      for (std::int64_t i = first; i < std::min(n, first + kTextsTogether); ++i)
        cut.push_back(asking.add(texts[i], input));
      const std::vector<Generated> results = generate(trained.model(), input, asking.settings());
      for (std::size_t i = 0; i < results.size(); ++i) {
        mine += to_line({.text = asking.text_of(input.prompts[i], results[i].tokens),
                         .num_tokens = static_cast<std::int64_t>(results[i].tokens.size()),
                         .is_of_cut = cut[i]});
      }
    }
  });
  std::vector<WrittenText> written;
  const std::vector<std::string> blocks = data.gather(mine);
  if (world.rank() != 0) return written;
  for (const std::string& block : blocks) append_lines(block, written);
  return written;
}

std::vector<std::string> generate_texts(TrainedPhase& trained, const Communicator& world,
                                        const std::vector<std::string>& texts,
                                        const GenerationSettings& settings) {
  std::vector<std::string> lines;
  std::int64_t num_cut = 0;
  for (const WrittenText& written : write_texts(trained, world, texts, settings)) {
    lines.push_back(escaped(written.text));
    num_cut += written.is_of_cut ? 1 : 0;
  }
  warn_of_cut(trained, num_cut);
  return lines;
}

std::string generate_text(TrainedPhase& trained, const Communicator& world, const std::string& text,
                          const GenerationSettings& settings,
                          const std::function<void(const std::string&)>& on_text) {
  std::string whole;
  agree_on(world, [&] {
    Asking asking(trained, settings);
    GenerationInput input;
    warn_of_cut(trained, asking.add(text, input) ? 1 : 0);
    std::string said;
    const auto hear = [&](const std::vector<std::int32_t>& tokens) {
      if (world.rank() != 0) return;
      const std::string now = asking.text_of(input.prompts[0], tokens);
      // The last bytes of a character that is not whole yet may still change.
      if (now.starts_with(said) && !now.ends_with("\xEF\xBF\xBD")) {
        on_text(now.substr(said.size()));
        said = now;
      }
    };
    const Generated result = generate(trained.model(), input, asking.settings(), hear).front();
    whole = asking.text_of(input.prompts[0], result.tokens);
    if (world.rank() == 0 && whole.starts_with(said)) on_text(whole.substr(said.size()));
  });
  return whole;
}

}  // namespace polyphase
