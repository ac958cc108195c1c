namespace LowRankQuant.Models.Tokenizers.HuggingFace;

/// <summary>
/// Reads tokenizer.json of the Hugging Face tokenizers library, literally: added tokens, normalizer, pre-tokenizer, model (BPE or
/// Unigram), post-processor, decoder. Entries about truncation and padding are ignored.
/// </summary>
public static class TokenizerJson
{
    /// <summary>Loads a tokenizer.json, and the tokenizer_config.json beside it if there is one.</summary>
    /// <param name="path">Path of the tokenizer.json.</param>
    /// <returns>The tokenizer.</returns>
    /// <exception cref="TokenizerException">A file is damaged, or names a component this library does not know; the message quotes it.</exception>
    /// <exception cref="IOException">A file cannot be read.</exception>
    public static ITokenizer Load(string path) => Load(path, rows: null);

    /// <summary>As <see cref="Load(string)"/>, for an embedding of so many rows.</summary>
    internal static ITokenizer Load(string path, int? rows)
    {
        ArgumentNullException.ThrowIfNull(path);
        TokenizerConfig config = TokenizerConfig.LoadBeside(path) with { Rows = rows };
        using System.Text.Json.JsonDocument document = JsonField.ParseFile(path);
        return TokenizerJsonReader.Read(JsonField.Root(document, Path.GetFileName(path)), config);
    }

    /// <summary>Loads a tokenizer.json from a stream.</summary>
    /// <param name="tokenizer">The text of tokenizer.json in UTF-8; read to its end.</param>
    /// <param name="config">The text of tokenizer_config.json, or null. It names the begin and end tokens.</param>
    /// <returns>The tokenizer.</returns>
    /// <exception cref="TokenizerException">A file is damaged, or names a component this library does not know; the message quotes it.</exception>
    public static ITokenizer Load(Stream tokenizer, Stream? config = null)
    {
        ArgumentNullException.ThrowIfNull(tokenizer);
        const string Name = "tokenizer.json";
        using System.Text.Json.JsonDocument document = JsonField.Parse(tokenizer, Name);
        return TokenizerJsonReader.Read(JsonField.Root(document, Name), config is null ? new TokenizerConfig() : TokenizerConfig.Read(config));
    }
}
