/// The toolchain's version.
public enum Version {
  /// As `tincture version` prints it.
  public static let text = "0.1.0"
}
