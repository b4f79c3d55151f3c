/// The process exit status of each kind of failure: the only such table.
public enum ExitStatus: Int32, Sendable {
  case success = 0
  case negative = 1
  case usage = 2
  case invalidInput = 3
  case unsupported = 4
  case cannotWrite = 5
  case limit = 6
  case internalError = 70
  case interrupted = 130

  public init(_ kind: TinctureError.Kind) {
    switch kind {
    case .negative: self = .negative
    case .usage: self = .usage
    case .invalidInput: self = .invalidInput
    case .unsupported: self = .unsupported
    case .cannotWrite: self = .cannotWrite
    case .limit: self = .limit
    case .internalError: self = .internalError
    case .interrupted: self = .interrupted
    }
  }
}
