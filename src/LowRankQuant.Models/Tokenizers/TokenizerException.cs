using System.Globalization;
using System.Text;

namespace LowRankQuant.Models.Tokenizers;

/// <summary>A tokenizer file is damaged, contradicts itself or asks for something this library does not do, or a text cannot be encoded.</summary>
public sealed class TokenizerException : Exception
{
    private const int LongestQuote = 200;

    /// <summary>Creates the exception with a message that names the key, the value, the rule and the remedy.</summary>
    public TokenizerException(string message) : base(message)
    {
    }

    /// <summary>Creates the exception with the error that caused it.</summary>
    public TokenizerException(string message, Exception inner) : base(message, inner)
    {
    }

    internal static TokenizerException For(string key, string? value, string rule, string remedy) =>
        new(value is null ? $"{key}: {rule}. {remedy}" : $"{key} = {Quote(value)}: {rule}. {remedy}");

    /// <summary>Quotes a value from a file: control characters escaped, long values cut.</summary>
    internal static string Quote(string value)
    {
        StringBuilder quoted = new("\"");
        foreach (char c in value.AsSpan(0, Math.Min(value.Length, LongestQuote)))
        {
            if (char.IsControl(c) || char.IsSurrogate(c)) quoted.Append(CultureInfo.InvariantCulture, $"\\u{(int)c:X4}");
            else quoted.Append(c);
        }
        return quoted.Append(value.Length > LongestQuote ? "...\"" : "\"").ToString();
    }
}
