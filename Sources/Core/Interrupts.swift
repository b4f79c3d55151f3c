import Glibc

/// SIGINT, SIGTERM and SIGHUP as a request to stop: the first one cancels ``cancellation``, so that the work
/// ends at its next chunk and removes its partial files; a second one ends the process at once.
package enum Interrupts {
  /// Cancelled by the first signal.
  package static let cancellation = Cancellation()

  /// Installs the handlers; to be called once, before any work.
  ///
  /// A signal that the parent had ignored stays ignored (nohup); one that it had blocked is let through.
  package static func install() {
    // Touched here so that the handler finds it made.
    _ = cancellation.isCancelled
    var open = sigset_t()
    sigemptyset(&open)
    for number in [SIGINT, SIGTERM, SIGHUP] {
      var before = sigaction()
      sigaction(number, nil, &before)
      if isIgnored(before) { continue }
      var action = sigaction()
      action.__sigaction_handler.sa_handler = { _ in Interrupts.cancellation.cancel() }
      action.sa_flags = Int32(truncatingIfNeeded: SA_RESETHAND) | Int32(SA_RESTART)
      sigaction(number, &action, nil)
      sigaddset(&open, number)
    }
    sigprocmask(SIG_UNBLOCK, &open, nil)
  }

  private static func isIgnored(_ action: sigaction) -> Bool {
    // SIG_IGN is the address 1, no function: compared as a number.
    withUnsafeBytes(of: action.__sigaction_handler) { $0.load(as: UInt.self) } == 1
  }
}
