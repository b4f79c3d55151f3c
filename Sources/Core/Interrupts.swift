import Glibc

/// SIGINT, SIGTERM and SIGHUP as a request to stop: the first one cancels ``cancellation``, so that the work
/// ends at its next chunk and removes its partial files; a second one ends the process at once.
package enum Interrupts {
  /// Cancelled by the first signal.
  package static let cancellation = Cancellation()

  /// Installs the handlers; to be called once, before any work.
  package static func install() {
    // Touched here so that the handler finds it made.
    _ = cancellation.isCancelled
    for number in [SIGINT, SIGTERM, SIGHUP] {
      var action = sigaction()
      action.__sigaction_handler.sa_handler = { _ in Interrupts.cancellation.cancel() }
      action.sa_flags = Int32(truncatingIfNeeded: SA_RESETHAND) | Int32(SA_RESTART)
      sigaction(number, &action, nil)
    }
  }
}
