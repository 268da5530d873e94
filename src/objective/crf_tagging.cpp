// SPDX-License-Identifier: Apache-2.0
#include "objective/crf_tagging.hpp"

#include "kernels/elementwise.hpp"
#include "objective/soft_crf_loss.hpp"

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
  const CrfParameters scores = crf_scores(exec, field(), rules);
  const CrfForward forward = {.alpha_MK = arena.take2<float>(m, k),
                              .norm_M = arena.take1<float>(m)};
  const auto nats_B = arena.take1<double>(num_sentences);
  const auto best_M = arena.take1<std::int32_t>(m);
  crf_forward(exec, nats_B, forward, words, scores);
  crf_decode(exec, best_M, words, scores);
  Outcome outcome;
  for (const double nats : download<double>(exec, nats_B)) outcome.nats += nats;
  if (pass.training) {
    outcome.nats =
        learn(pass, x_MC, dx_MC, forward, words, scores, rules, outcome.nats, gradient_scale);
  }
  outcome.best_M = download<std::int32_t>(exec, best_M);
  return outcome;
}

template <class Real>
CrfParameters CrfTagging<Real>::field() const {
  return {.transition_KK = parameters_.value2(transition_),
          .start_K = parameters_.value1(start_),
          .end_K = parameters_.value1(end_)};
}

template <class Real>
SoftTargets CrfTagging<Real>::teach_words(const Pass& pass, Tensor2<const Real> x_MC) {
  SoftTargets targets = polyphase::teach<Real>(emission_, pass, x_MC);
  targets.chain = field();
  return targets;
}

template <class Real>
double CrfTagging<Real>::learn(const Pass& pass, Tensor2<const Real> x_MC, Tensor2<float> dx_MC,
                               const CrfForward& forward, const CrfWords& words,
                               const CrfParameters& scores, const CrfRules& rules, double nats,
                               float gradient_scale) {
  const auto demission_MK = pass.exec.arena->template take2<Real>(
      static_cast<std::int64_t>(x_MC.extent(0)), emission_.num_outputs());
  nats = learn_field(pass.exec, demission_MK, forward, words, scores, rules, nats, gradient_scale);
  emission_.template backward<Real>(pass, dx_MC, demission_MK, x_MC);
  return nats;
}

template <class Real>
double CrfTagging<Real>::learn_field(const Exec& exec, Tensor2<Real> demission_MK,
                                     const CrfForward& forward, const CrfWords& words,
                                     const CrfParameters& scores, const CrfRules& rules,
                                     double nats, float gradient_scale) {
  const Write write = parameters_.gradient_write(transition_);
  const bool together =
      parameters_.gradient_write(start_) == write && parameters_.gradient_write(end_) == write;
  POLYPHASE_PROMISE(together, "a random field's parameters are written together");
  const CrfGradients gradients = {.transition_KK = parameters_.gradient2(transition_),
                                  .start_K = parameters_.gradient1(start_),
                                  .end_K = parameters_.gradient1(end_)};
  if (!soft_) {
    crf_backward<Real>(exec, demission_MK, gradients, write, forward, words, scores, rules,
                       gradient_scale);
    return nats;
  }
  // Both parts are summed before they are rounded to the products' precision.
  const float hard = 1.0F - soft_->weight;
  const auto sum_MK =
      exec.arena->template take2<float>(static_cast<std::int64_t>(demission_MK.extent(0)),
                                        static_cast<std::int64_t>(demission_MK.extent(1)));
  crf_backward<float>(exec, sum_MK, gradients, write, forward, words, scores, rules,
                      hard * gradient_scale);
  const double soft =
      add_soft_crf_loss(exec, sum_MK, gradients, *soft_, {words.emission_MK, field()}, words.starts,
                        rules, gradient_scale);
  convert<Real, float>(exec, flat(demission_MK), Tensor1<const float>(flat(sum_MK)));
  return double{hard} * nats + soft;
}

template class CrfTagging<float>;
template class CrfTagging<bf16>;

}  // namespace polyphase
