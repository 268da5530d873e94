// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <string_view>

#include "kernels/work.hpp"
#include "model/reference_run.hpp"

namespace polyphase {
namespace {

namespace Tools = Kokkos::Tools::Experimental;

// What Kokkos launches, and products, each of which is one whatever it is made of.
struct Launches {
  std::int64_t count = 0, num_products_open = 0;
  std::vector<bool> regions;    // open ones: whether they are products
  Tools::EventSet others = {};  // who listens as well
};
Launches launches;

void push_region(const char* name) {
  launches.regions.push_back(std::string_view(name) == "matmul");
  if (launches.regions.back() && launches.num_products_open++ == 0) ++launches.count;
  if (launches.others.push_region != nullptr) launches.others.push_region(name);
}
void pop_region() {
  if (launches.regions.back()) --launches.num_products_open;
  launches.regions.pop_back();
  if (launches.others.pop_region != nullptr) launches.others.pop_region();
}
void begin_kernel(const char* name, std::uint32_t device, std::uint64_t* kernel) {
  if (launches.num_products_open == 0) ++launches.count;
  if (launches.others.begin_parallel_for != nullptr)
    launches.others.begin_parallel_for(name, device, kernel);
}

std::int64_t launches_of_step(ReferenceRun& run) {
  launches = {.others = Tools::get_callbacks()};
  Tools::set_push_region_callback(push_region);
  Tools::set_pop_region_callback(pop_region);
  Tools::set_begin_parallel_for_callback(begin_kernel);
  run.step(0);
  Tools::set_callbacks(launches.others);
  return launches.count;
}

TEST(KernelCount, AStepLaunchesWhatItsCountedPassesNote) {
  if (test_world->size() > 1) GTEST_SKIP() << kOneRankShowsIt;
  if (!Kokkos::SpaceAccessibility<Kokkos::HostSpace, Memory>::accessible)
    GTEST_SKIP() << "a device's products take with them what is counted apart";
  for (const std::string name : {"bert_postnorm_pretraining", "family_gpt2_clm", "family_llama_clm",
                                 "family_t5_1_0_generation"}) {
    const nlohmann::json reference = read_case(name);
    const RankGrid grid = solo_grid();
    for (const recipe::Precision precision : {recipe::Precision::kF32, recipe::Precision::kBf16}) {
      ReferenceRun run(reference, grid, 1, precision);
      const std::int64_t launched = launches_of_step(run);
      const WorkCount count;
      run.model().plan_arena_bytes(run.batches(0).micro_batches[0], true);
      run.optimizer().plan_arena_bytes(run.model().parameters());
      EXPECT_EQ(count.work().num_kernels, launched) << name;
    }
  }
}

}  // namespace
}  // namespace polyphase
