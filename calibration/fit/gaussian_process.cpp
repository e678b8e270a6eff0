#include "calibration/fit/gaussian_process.hpp"

#include <stdexcept>
#include <utility>

namespace rehearse {

namespace {

Eigen::LLT<Eigen::MatrixXd> factorised(const Eigen::MatrixXd& prior, const Eigen::VectorXd& noise) {
  Eigen::MatrixXd covariance = prior;
  covariance.diagonal() += noise.cwiseAbs2();
  Eigen::LLT<Eigen::MatrixXd> factor(covariance);
  if (factor.info() != Eigen::Success) throw std::runtime_error("the covariance is not positive");
  return factor;
}

// Each point told by all others: its residual over its standard deviation is weight / sqrt(inverse
// covariance's diagonal) (Rasmussen and Williams, equations 5.10 to 5.12).
Eigen::VectorXd left_out_deviations(const Eigen::LLT<Eigen::MatrixXd>& factor,
                                    const Eigen::VectorXd& weights) {
  const Eigen::Index count = weights.size();
  const Eigen::MatrixXd inverse = factor.solve(Eigen::MatrixXd::Identity(count, count));
  return weights.cwiseQuotient(inverse.diagonal().cwiseSqrt());
}

}  // namespace

GaussianProcess::GaussianProcess(Kernel kernel, Points points, const Eigen::VectorXd& values,
                                 double noise, int reweighted)
    : kernel_(std::move(kernel)), points_(std::move(points)) {
  constexpr double kFreedom = 4;
  const Eigen::Index count = points_.rows();
  Eigen::MatrixXd prior(count, count);
  for (Eigen::Index j = 0; j < count; ++j) {
    for (Eigen::Index i = j; i < count; ++i) {
      prior(i, j) = kernel_(points_.row(i).data(), points_.row(j).data());
    }
  }
  Eigen::VectorXd noises = Eigen::VectorXd::Constant(count, noise);
  for (int round = 0;; ++round) {
    const Eigen::LLT<Eigen::MatrixXd> factor = factorised(prior, noises);
    weights_ = factor.solve(values);
    if (round == reweighted) return;
    const Eigen::VectorXd deviations = left_out_deviations(factor, weights_);
    const Eigen::ArrayXd growth = (kFreedom + deviations.array().square()) / (kFreedom + 1);
    noises = (noises.array().square() * growth.max(1)).sqrt();
  }
}

Eigen::VectorXd GaussianProcess::operator()(const Points& at) const {
  Eigen::VectorXd out(at.rows());
  for (Eigen::Index i = 0; i < at.rows(); ++i) {
    double sum = 0;
    for (Eigen::Index j = 0; j < points_.rows(); ++j) {
      sum += weights_(j) * kernel_(at.row(i).data(), points_.row(j).data());
    }
    out(i) = sum;
  }
  return out;
}

}  // namespace rehearse
