import CKernels
import TinctureCore

/// The instruction set the numeric kernels run on. It changes speed, never encoded or decoded bytes.
public enum InstructionSet {
  /// Name of the one in use: `scalar`, `avx2`, `avx512` or `neon`; nil when ``check()`` would throw.
  public static var name: String? { tk_linear_select().map { String(cString: $0.pointee.isa) } }

  /// Checks that the environment variable `TINCTURE_ISA`, if set, names an instruction set this processor has.
  /// Programs call it once before they encode or decode; without it a wrong name stops the process there.
  public static func check() throws(TinctureError) {
    if tk_select() != nil { return }
    throw TinctureError(
      TinctureError.Code("kernels.instructionSet", .usage),
      "TINCTURE_ISA names an instruction set that is unknown or that this processor lacks",
      expected: "one of: \(available.joined(separator: ", "))",
      advice: "unset TINCTURE_ISA or set it to one of these")
  }

  /// Names of the instruction sets this processor can run.
  public static var available: [String] {
    ["scalar", "avx2", "avx512", "neon"].filter { tk_named($0) != nil }
  }

  /// The kernels in use.
  static var kernels: UnsafePointer<tk_kernels> {
    guard let kernels = tk_select() else {
      preconditionFailure("TINCTURE_ISA is wrong and InstructionSet.check() was not called")
    }
    return kernels
  }
}
