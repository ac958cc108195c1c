using System.Globalization;
using System.Text;

namespace LowRankQuant.Cli;

/// <summary>Where a command writes.</summary>
/// <param name="Out">Results.</param>
/// <param name="Error">Messages, and progress when results must stand alone.</param>
/// <param name="OutIsTerminal">Whether a person sees <paramref name="Out"/> as it is written.</param>
/// <param name="ErrorIsTerminal">Whether a person sees <paramref name="Error"/> as it is written.</param>
internal sealed record Terminal(TextWriter Out, TextWriter Error, bool OutIsTerminal, bool ErrorIsTerminal)
{
    /// <summary>The process's own streams.</summary>
    public static Terminal System()
    {
        bool dumb = Environment.GetEnvironmentVariable("TERM") == "dumb";
        return new Terminal(
            Writer(Console.OpenStandardOutput()), Writer(Console.OpenStandardError()),
            !Console.IsOutputRedirected && !dumb, !Console.IsErrorRedirected && !dumb);
    }

    // UTF-8 without a mark whatever the system's code page: what is printed is read by programs too.
    private static Writer8 Writer(Stream stream) => new(stream) { AutoFlush = true, NewLine = "\n" };

    private sealed class Writer8(Stream stream) : StreamWriter(stream, new UTF8Encoding(encoderShouldEmitUTF8Identifier: false))
    {
        public override IFormatProvider FormatProvider => CultureInfo.InvariantCulture;
    }
}
