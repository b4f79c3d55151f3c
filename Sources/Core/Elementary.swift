import Glibc

/// The elementary functions that Swift's standard library lacks.
package enum Elementary {
  /// `base` to the power of `exponent`.
  package static func power(_ base: Double, _ exponent: Double) -> Double { pow(base, exponent) }

  /// Natural logarithm.
  package static func logarithm(_ x: Double) -> Double { log(x) }

  package static func sine(_ x: Double) -> Double { sin(x) }

  package static func cosine(_ x: Double) -> Double { cos(x) }

  /// e to the power of `x`.
  package static func exponential(_ x: Double) -> Double { exp(x) }
}
