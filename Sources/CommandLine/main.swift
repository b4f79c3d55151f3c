import Tincture

Console.completeStreams()
Console.ignoreWriteSignals()
Interrupts.install()
MappedFile.watch()
Console.end(Tool.run(Console.arguments()))
