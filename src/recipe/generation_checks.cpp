// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <set>

#include "base/error.hpp"
#include "recipe/checks.hpp"
#include "recipe/goals.hpp"
#include "recipe/load.hpp"

namespace polyphase::recipe {
namespace {

constexpr std::int64_t kMostBeams = 256;

// Keys right below `path` that the recipe gives, in the order of their names.
std::set<std::string> keys_below(const std::map<std::string, Place>& places,
                                 const std::string& path) {
  std::set<std::string> keys;
  const std::string prefix = path + ".";
  for (auto at = places.lower_bound(prefix); at != places.end(); ++at) {
    if (!at->first.starts_with(prefix)) break;
    const std::size_t end = at->first.find_first_of(".[", prefix.size());
    keys.insert(at->first.substr(prefix.size(), end - prefix.size()));
  }
  return keys;
}

// Corpora that phases make, and the phases that make them.
class GenerationChecks {
 public:
  GenerationChecks(const Recipe& recipe, const std::map<std::string, Place>& places, Faults& faults)
      : recipe_(recipe), places_(places), faults_(faults) {}

  void check_all() {
    for (const Corpus& corpus : recipe_.corpora) {
      if (!corpus.made_by.empty()) check_corpus(corpus, "corpora." + corpus.name);
    }
    check_tokenizer();
    for (std::size_t i = 0; i < recipe_.phases.size(); ++i) {
      if (recipe_.phases[i].generate) {
        check_maker(recipe_.phases[i], phase_path(recipe_, i));
      } else {
        check_use(i, phase_path(recipe_, i));
      }
    }
  }

 private:
  template <class... Args>
  void fault(const std::string& path, fmt::format_string<Args...> format, Args&&... args) {
    const std::string message = fmt::format(format, std::forward<Args>(args)...);
    faults_.add_unless_known(nearest_place(places_, path), message);
  }

  void check_corpus(const Corpus& corpus, const std::string& path) {
    if (corpus.kind != CorpusKind::kGeneration) {
      fault(path + ".kind", "{}.kind is {}, but a phase makes pairs of texts; write kind: {}", path,
            name_of(corpus.kind), name_of(CorpusKind::kGeneration));
    }
    for (const std::string& key : keys_below(places_, path)) {
      if (key == "kind" || key == "made_by" || key == "max_train_samples") continue;
      const bool part = key == "valid" || key == "test";
      fault(path + "." + key, "{}.{} has no meaning beside made_by, {}", path, key,
            part ? "which makes the training part alone; remove it, and measure on a corpus that "
                   "is given"
                 : "which tells where the texts come from; remove one of them");
    }
    check_made_by(corpus, path + ".made_by");
  }

  void check_made_by(const Corpus& corpus, const std::string& key) {
    std::vector<std::string> makers;
    for (const Phase& phase : recipe_.phases) {
      if (phase.generate) makers.push_back(phase.name);
    }
    const Phase* maker = find_phase(recipe_, corpus.made_by);
    if (maker == nullptr) {
      fault(key, "{} names no phase {}{}", key, quoted(corpus.made_by),
            makers.empty() ? std::string("; a phase with the key generate makes a corpus")
                           : suggestion(corpus.made_by, makers, "phases that make a corpus"));
    } else if (!maker->generate) {
      fault(key, "{} is {}, which trains for {}; a phase with the key generate makes a corpus", key,
            quoted(maker->name), goal_name(*maker));
    }
    for (const Corpus& other : recipe_.corpora) {
      if (&other == &corpus) return;
      if (other.made_by != corpus.made_by) continue;
      fault(key, "{} is {}, which makes the corpus {} already; name that one", key,
            quoted(corpus.made_by), quoted(other.name));
    }
  }

  void check_tokenizer() {
    for (std::size_t i = 0; i < recipe_.tokenizer.corpora.size(); ++i) {
      const Corpus* corpus = find_corpus(recipe_, recipe_.tokenizer.corpora[i]);
      if (corpus == nullptr || corpus->made_by.empty()) continue;
      fault(fmt::format("tokenizer.corpora[{}]", i),
            "tokenizer.corpora names {}, which is made only when the tokenizer is there; name "
            "corpora that are given",
            quoted(corpus->name));
    }
  }

  void check_maker(const Phase& phase, const std::string& path) {
    for (const std::string& key : keys_below(places_, path)) {
      if (key == "name" || key == "from" || key == "generate" || key == "slurm") continue;
      fault(path + "." + key,
            "{}.{} has no meaning beside generate: the phase makes a corpus and trains nothing; "
            "remove one of them",
            path, key);
    }
    check_model(phase, path + ".from");
    check_given(*phase.generate, path + ".generate.of");
    check_choice(*phase.generate, path + ".generate");
    const bool taken =
        std::any_of(recipe_.corpora.begin(), recipe_.corpora.end(),
                    [&](const Corpus& corpus) { return corpus.made_by == phase.name; });
    if (taken || phase.name.empty()) return;
    fault(path + ".generate",
          "no corpus is made by {}; give what it makes a name: corpora: {{NAME: {{kind: "
          "generation, made_by: {}}}}}",
          path, phase.name);
  }

  void check_model(const Phase& phase, const std::string& key) {
    if (phase.from_run) {
      fault(key,
            "{} names another run; a phase of this recipe must have the model: let one start from "
            "that run, and name it here",
            key);
      return;
    }
    if (phase.from.empty()) {
      fault(key, "{} is missing: the phase whose model writes the texts", key);
      return;
    }
    const Phase* model = find_phase(recipe_, phase.from);
    if (model == nullptr || model->generate) return;  // faults of their own
    if (!model->task || model->task->kind != TaskKind::kGeneration) {
      fault(key, "{} is {}, which trains for {}; a phase with the task generation writes texts",
            key, quoted(model->name), goal_name(*model));
    }
    if (model->gate) {
      fault(key, "{} is {}, whose gate may reject it; the model that makes a corpus has no gate",
            key, quoted(model->name));
    }
  }

  void check_given(const Generate& generate, const std::string& key) {
    if (generate.of.empty()) return;
    const Corpus* given = find_corpus(recipe_, generate.of);
    if (given == nullptr) {
      std::vector<std::string> names;
      for (const Corpus& corpus : recipe_.corpora) {
        if (corpus.made_by.empty()) names.push_back(corpus.name);
      }
      fault(key, "{} names no corpus {}{}", key, quoted(generate.of),
            suggestion(generate.of, names, "given corpora"));
    } else if (!given->made_by.empty()) {
      fault(key, "{} is {}, which is made itself; name a corpus that is given", key,
            quoted(given->name));
    } else if (given->kind != CorpusKind::kText && given->kind != CorpusKind::kGeneration) {
      fault(key, "the corpus {} is of kind {}; texts are taken from one of kind text or generation",
            quoted(given->name), name_of(given->kind));
    } else if (given->layout == TextLayout::kRaw) {
      fault(key, "the corpus {} is raw, and a text here is a sentence; write layout: sentences",
            quoted(given->name));
    } else if (given->max_train_samples > 0) {
      fault(key,
            "the corpus {} has max_train_samples, which a text is not chosen by; give it the "
            "files of the texts that are meant",
            quoted(given->name));
    }
  }

  void check_choice(const Generate& generate, const std::string& path) {
    if (generate.beams > kMostBeams)
      fault(path + ".beams", "{}.beams is {}; at most {} go", path, generate.beams, kMostBeams);
    if (generate.beams > 1 && generate.temperature > 0) {
      fault(path + ".temperature",
            "{}: beams look for the likeliest text, temperature draws one; take either", path);
    }
    if (generate.temperature > 0 || (generate.top_k == 0 && generate.top_p == 1)) return;
    const std::string key = path + (generate.top_k == 0 ? ".top_p" : ".top_k");
    fault(key, "{} is for drawing, and without temperature nothing is drawn; give {}.temperature",
          key, path);
  }

  // Phases that train on a made corpus come behind the one that makes it.
  void check_use(std::size_t index, const std::string& path) {
    for (const std::string& maker : makers_of(recipe_, recipe_.phases[index])) {
      const Phase* found = find_phase(recipe_, maker);
      if (found == nullptr || found < &recipe_.phases[index]) continue;
      fault(path + ".data",
            "{}.data names a corpus that {} makes, which comes later; move {} "
            "before {}",
            path, quoted(maker), quoted(maker), quoted(recipe_.phases[index].name));
    }
  }

  const Recipe& recipe_;
  const std::map<std::string, Place>& places_;
  Faults& faults_;
};

}  // namespace

void check_generation(const Recipe& recipe, const std::map<std::string, Place>& places,
                      Faults& faults) {
  GenerationChecks(recipe, places, faults).check_all();
}

}  // namespace polyphase::recipe
