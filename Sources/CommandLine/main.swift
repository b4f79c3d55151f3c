import Tincture

Console.completeStreams()
Console.ignoreWriteSignals()
Interrupts.install()
Console.end(Tool.run(Console.arguments()))
