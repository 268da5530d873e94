// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace polyphase {

// A group of ranks (a rank is an MPI process). Every call is collective over the group. Errors of
// MPI are SystemError.
class Communicator {
 public:
  struct Impl;
  explicit Communicator(std::unique_ptr<Impl> impl);
  ~Communicator();
  Communicator(Communicator&&) noexcept;
  Communicator& operator=(Communicator&&) noexcept;

  int rank() const;
  int size() const;

  // Sums in place, in one fixed binary tree over the ranks ((0+1)+(2+3))…, so that all ranks get
  // the same bits and a power-of-two run gets the same bits as fewer ranks that summed their own
  // leaves in the same tree (docs/design.md, 5).
  void sum(float* data, std::int64_t count) const;
  void max(float* data, std::int64_t count) const;
  void sum(std::int64_t* data, std::int64_t count) const;
  void max(std::int64_t* data, std::int64_t count) const;

  // Every rank's values, in the order of ranks; all ranks give the same count.
  std::vector<double> gather(const std::vector<double>& mine) const;
  std::vector<std::int64_t> gather(const std::vector<std::int64_t>& mine) const;
  std::vector<std::string> gather(const std::string& mine) const;
  // Gives every rank the numbers that one rank has where all others have 0, to the last bit.
  void combine(std::vector<double>& numbers) const;
  std::string broadcast(const std::string& text, int root = 0) const;
  void barrier() const;

  // How long this rank has waited for others of the group, in all calls so far that do not return
  // before they are done. A TreeSum that goes on while its caller computes counts in wait() alone.
  double wait_seconds() const;

  Impl& impl() const { return *impl_; }  // for src/comm only: Impl is not defined elsewhere

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace polyphase
