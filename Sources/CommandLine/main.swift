import TinctureCore

Console.ignoreBrokenPipes()
Interrupts.install()
Console.end(Tool.run(Console.arguments()))
