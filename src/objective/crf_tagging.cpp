// SPDX-License-Identifier: Apache-2.0
#include "objective/crf_tagging.hpp"

namespace polyphase {
namespace {

CrfRules upload_rules(const Exec& exec, const TagRules& rules) {
  const Tensor1<const std::int32_t> transition = upload(exec, rules.transition_KK);
  return {.transition_KK = Tensor2<const std::int32_t>(transition.data(), rules.start_K.size(),
                                                       rules.start_K.size()),
          .start_K = upload(exec, rules.start_K)};
}

}  // namespace

TagRules bio_rules(const std::vector<std::string>& tags) {
  const auto begins_with = [](const std::string& tag, const char* prefix) {
    return tag.rfind(prefix, 0) == 0;
  };
  TagRules rules;
  for (const std::string& tag : tags) {
    if (tag != "O" && !begins_with(tag, "B-") && !begins_with(tag, "I-")) return {};
    rules.start_K.push_back(begins_with(tag, "I-") ? 0 : 1);
  }
  for (const std::string& from : tags) {
    for (const std::string& to : tags) {
      const bool goes_on = from != "O" && from.substr(2) == to.substr(to == "O" ? 0 : 2);
      rules.transition_KK.push_back(!begins_with(to, "I-") || goes_on ? 1 : 0);
    }
  }
  return rules;
}

template <class Real>
CrfTagging<Real>::CrfTagging(ParameterSet& parameters, const Communicator& tensor,
                             const recipe::Model& model, std::vector<std::string> tags)
    : WordTagging<Real>(model.width, tags),
      parameters_(parameters),
      emission_(parameters, tensor, "head.tagging.output", model.width,
                static_cast<std::int64_t>(tags.size())),
      rules_(bio_rules(tags)) {
  const auto k = static_cast<std::int64_t>(tags.size());
  const auto declare = [&](const char* name, const std::vector<std::int64_t>& shape) {
    return parameters.declare(
        {.name = name, .global_shape = shape, .initial = Initial::kZero, .decays = false});
  };
  transition_ = declare("head.crf.transitions", {k, k});
  start_ = declare("head.crf.start", {k});
  end_ = declare("head.crf.end", {k});
}

template <class Real>
auto CrfTagging<Real>::tag(const Pass& pass, const TaggedWords& tagged, Tensor2<const Real> x_MC,
                           Tensor2<float> dx_MC, float gradient_scale) -> Outcome {
  const Exec& exec = pass.exec;
  Arena& arena = *exec.arena;
  const auto m = static_cast<std::int64_t>(x_MC.extent(0)), k = emission_.num_outputs();
  const auto num_sentences = static_cast<std::int64_t>(tagged.starts.size()) - 1;
  const CrfWords words = {.emission_MK = emission_.template forward<Real>(pass, x_MC),
                          .label_M = upload(exec, tagged.labels_M),
                          .starts = upload(exec, tagged.starts)};
  const CrfRules rules = upload_rules(exec, rules_);
  const CrfParameters scores = crf_scores(exec,
                                          {.transition_KK = parameters_.value2(transition_),
                                           .start_K = parameters_.value1(start_),
                                           .end_K = parameters_.value1(end_)},
                                          rules);
  const CrfForward forward = {.alpha_MK = arena.take2<float>(m, k),
                              .norm_M = arena.take1<float>(m)};
  const auto nats_B = arena.take1<double>(num_sentences);
  const auto best_M = arena.take1<std::int32_t>(m);
  crf_forward(exec, nats_B, forward, words, scores);
  crf_decode(exec, best_M, words, scores);
  if (pass.training) learn(pass, x_MC, dx_MC, forward, words, scores, rules, gradient_scale);
  Outcome outcome = {.best_M = download<std::int32_t>(exec, best_M)};
  for (const double nats : download<double>(exec, nats_B)) outcome.nats += nats;
  return outcome;
}

template <class Real>
void CrfTagging<Real>::learn(const Pass& pass, Tensor2<const Real> x_MC, Tensor2<float> dx_MC,
                             const CrfForward& forward, const CrfWords& words,
                             const CrfParameters& scores, const CrfRules& rules,
                             float gradient_scale) {
  const auto demission_MK = pass.exec.arena->template take2<Real>(
      static_cast<std::int64_t>(x_MC.extent(0)), emission_.num_outputs());
  const Write write = parameters_.gradient_write(transition_);
  const bool together =
      parameters_.gradient_write(start_) == write && parameters_.gradient_write(end_) == write;
  POLYPHASE_PROMISE(together, "a random field's parameters are written together");
  crf_backward<Real>(pass.exec, demission_MK,
                     {.transition_KK = parameters_.gradient2(transition_),
                      .start_K = parameters_.gradient1(start_),
                      .end_K = parameters_.gradient1(end_)},
                     write, forward, words, scores, rules, gradient_scale);
  emission_.template backward<Real>(pass, dx_MC, demission_MK, x_MC);
}

template class CrfTagging<float>;
template class CrfTagging<bf16>;

}  // namespace polyphase
