import Glibc

/// Wraps the C library's error numbers; no other place reads `errno`.
enum SystemError {
  static func text(_ number: Int32) -> String {
    guard let pointer = strerror(number) else { return "error \(number)" }
    return String(cString: pointer)
  }

  static func cannotRead(_ path: String, _ action: String, _ number: Int32) -> TinctureError {
    if number == ENOMEM {
      return TinctureError(
        .init("memory.exhausted", .limit), "cannot \(action): \(text(number))",
        place: .init(file: path), advice: Allocation.advice)
    }
    let advice: String? =
      switch number {
      case ENOENT: "check the path"
      case EACCES: "check the file's permissions"
      case EISDIR: "name a file, not a folder"
      case ELOOP: "remove the loop of symbolic links"
      default: nil
      }
    return TinctureError(
      .init("file.read", .invalidInput), "cannot \(action): \(text(number))",
      place: .init(file: path), advice: advice)
  }

  static func cannotWrite(_ path: String, _ action: String, _ number: Int32) -> TinctureError {
    let advice: String? =
      switch number {
      case ENOSPC, EDQUOT: "free disk space or write to another disk"
      case EACCES, EPERM: "check the folder's permissions"
      case ENOENT: "create the folder first"
      case EROFS: "write to a disk that is not read-only"
      default: nil
      }
    return TinctureError(
      .init("file.write", .cannotWrite), "cannot \(action): \(text(number))",
      place: .init(file: path), advice: advice)
  }
}
