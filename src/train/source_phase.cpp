// SPDX-License-Identifier: Apache-2.0
#include "train/source_phase.hpp"

#include "base/error.hpp"
#include "comm/agreement.hpp"
#include "io/checkpoint.hpp"
#include "train/phase_data.hpp"
#include "train/phase_result.hpp"

namespace polyphase {

std::string remedy_for(const SourcePhase& source, const std::filesystem::path& checkpoint) {
  if (source.is_of_other_run) return "bring that run's checkpoint back as it was";
  return fmt::format("remove the folder {}, and the same command makes the end of phase {} again",
                     checkpoint.string(), source.name);
}

std::filesystem::path find_source(const Communicator& world, const SourcePhase& source,
                                  const std::string& purpose) {
  return from_rank_0(world, [&] {
    const std::filesystem::path result = result_checkpoint(source.folder);
    if (result.empty()) {
      fail<DataError>("{} holds no complete checkpoint, so {}; {}",
                      checkpoints_of(source.folder).string(), purpose,
                      source.is_of_other_run
                          ? "bring it back"
                          : fmt::format("remove the folder {}, and run phase {} again",
                                        source.folder.string(), source.name));
    }
    const std::string digest = source.digest.empty() ? "" : CheckpointReader(result).digest();
    if (digest != source.digest) {
      fail<RecipeError>(
          "{}: this run has taken {} with the digest {}, and finds {} now; bring that checkpoint "
          "back, or begin a new run (--set run_dir=…)",
          result.string(), source.name, source.digest, digest);
    }
    return result.string();
  });
}

void require_same_tokenizer(const std::filesystem::path& checkpoint, const SourcePhase& source,
                            const PhaseCorpus& corpus) {
  const nlohmann::json state = CheckpointReader(checkpoint).state();
  const std::string before =
      state.value(nlohmann::json::json_pointer("/data/tokenizer"), std::string());
  if (before == corpus.tokenizer_digest()) return;
  fail<RecipeError>(
      "{}: {} was trained with the tokenizer {}, and that of the corpus {} is {}; bring the files "
      "back as they were, or begin a new run (--set run_dir=…)",
      checkpoint.string(), source.name, before, corpus.name(), corpus.tokenizer_digest());
}

}  // namespace polyphase
