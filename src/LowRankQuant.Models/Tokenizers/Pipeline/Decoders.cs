using System.Globalization;
using System.Text;

namespace LowRankQuant.Models.Tokenizers.Pipeline;

/// <summary>Turns token texts back into text, step by step, as the decoders of tokenizer.json do.</summary>
internal abstract class TokenDecoder
{
    /// <summary>Rewrites the list of texts; the decoded text is their concatenation.</summary>
    internal abstract List<string> Apply(List<string> tokens);
}

internal sealed class SequenceDecoder(TokenDecoder[] parts) : TokenDecoder
{
    internal override List<string> Apply(List<string> tokens)
    {
        foreach (TokenDecoder part in parts) tokens = part.Apply(tokens);
        return tokens;
    }
}

/// <summary>Letters of the byte alphabet to bytes to text; bytes that are not UTF-8 become U+FFFD.</summary>
internal sealed class ByteLevelDecoder : TokenDecoder
{
    internal override List<string> Apply(List<string> tokens)
    {
        List<byte> bytes = new(tokens.Count * 4);
        foreach (string token in tokens) ByteAlphabet.AppendBytes(token, bytes);
        return [Encoding.UTF8.GetString(System.Runtime.InteropServices.CollectionsMarshal.AsSpan(bytes))];
    }
}

/// <summary>Runs of byte tokens such as "&lt;0xE2&gt;" to text; a run that is not UTF-8 as a whole becomes one U+FFFD for every byte.</summary>
internal sealed class ByteFallbackDecoder : TokenDecoder
{
    private static readonly UTF8Encoding Strict = new(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true);

    internal override List<string> Apply(List<string> tokens)
    {
        List<string> result = new(tokens.Count);
        List<byte> run = [];
        foreach (string token in tokens)
        {
            if (TryParseByte(token, out byte value))
            {
                run.Add(value);
                continue;
            }
            Flush(run, result);
            result.Add(token);
        }
        Flush(run, result);
        return result;
    }

    internal static bool TryParseByte(string token, out byte value)
    {
        value = 0;
        return token.Length == 6 && token.StartsWith("<0x", StringComparison.Ordinal) && token[5] == '>'
            && byte.TryParse(token.AsSpan(3, 2), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out value);
    }

    private static void Flush(List<byte> run, List<string> result)
    {
        if (run.Count == 0) return;
        byte[] bytes = [.. run];
        run.Clear();
        try
        {
            result.Add(Strict.GetString(bytes));
        }
        catch (DecoderFallbackException)
        {
            result.Add(new string('\uFFFD', bytes.Length));
        }
    }
}

internal sealed class FuseDecoder : TokenDecoder
{
    internal override List<string> Apply(List<string> tokens) => [string.Concat(tokens)];
}

internal sealed class ReplaceDecoder(string pattern, string content) : TokenDecoder
{
    internal override List<string> Apply(List<string> tokens)
    {
        if (pattern.Length == 0) return tokens;
        for (int i = 0; i < tokens.Count; i++) tokens[i] = tokens[i].Replace(pattern, content, StringComparison.Ordinal);
        return tokens;
    }
}

/// <summary>Takes at most <c>start</c> and <c>stop</c> characters equal to <c>content</c> from the two ends of every text.</summary>
internal sealed class StripDecoder(char content, int start, int stop) : TokenDecoder
{
    internal override List<string> Apply(List<string> tokens)
    {
        for (int i = 0; i < tokens.Count; i++)
        {
            string token = tokens[i];
            int from = 0;
            while (from < start && from < token.Length && token[from] == content) from++;
            int end = token.Length;
            while (token.Length - end < stop && end > from && token[end - 1] == content) end--;
            if (end - from < token.Length) tokens[i] = token[from..end];
        }
        return tokens;
    }
}

/// <summary>Metaspaces to spaces; those of the first token are dropped if the encoder may have put them there.</summary>
internal sealed class MetaspaceDecoder(char replacement, PrependScheme scheme) : TokenDecoder
{
    internal override List<string> Apply(List<string> tokens)
    {
        for (int i = 0; i < tokens.Count; i++)
        {
            bool drops = i == 0 && scheme != PrependScheme.Never;
            tokens[i] = tokens[i].Replace(replacement.ToString(), drops ? "" : " ", StringComparison.Ordinal);
        }
        return tokens;
    }
}
