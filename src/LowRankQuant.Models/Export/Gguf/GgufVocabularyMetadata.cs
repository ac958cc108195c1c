using LowRankQuant.Formats.Gguf;
using LowRankQuant.Models.ChatTemplates;
using LowRankQuant.Models.Tokenizers.Gguf;

namespace LowRankQuant.Models.Export.Gguf;

/// <summary>The <c>tokenizer.*</c> keys that a vocabulary is stored under.</summary>
internal static class GgufVocabularyMetadata
{
    private const string Prefix = "tokenizer.ggml.";

    /// <summary>The key that says a file has no vocabulary.</summary>
    public static KeyValuePair<string, GgufValue> None { get; } = new(Prefix + "model", GgufValue.Of("none"));

    /// <summary>Keys and values in the usual order.</summary>
    /// <param name="vocabulary">The vocabulary.</param>
    /// <param name="paddingId">Id of the padding token; null when there is none.</param>
    /// <param name="chatTemplates">Chat templates by name.</param>
    public static IEnumerable<KeyValuePair<string, GgufValue>> Of(GgufVocabulary vocabulary, int? paddingId, IReadOnlyDictionary<string, string> chatTemplates)
    {
        foreach ((string key, object? value) in Values(vocabulary, paddingId))
        {
            if (value is not null) yield return new(Prefix + key, GgufValue.Of(value));
        }
        foreach ((string name, string template) in chatTemplates)
            yield return new(name == ChatTemplateFile.Default ? "tokenizer.chat_template" : $"tokenizer.chat_template.{name}", GgufValue.Of(template));
        string[] named = [.. chatTemplates.Keys.Where(name => name != ChatTemplateFile.Default)];
        if (named.Length > 0) yield return new("tokenizer.chat_templates", GgufValue.Of(named));
    }

    /// <summary>What a user of the file should know about its vocabulary.</summary>
    public static IEnumerable<string> Notes(GgufVocabulary vocabulary)
    {
        const int Byte = 6;
        if (vocabulary.Model == "llama" && vocabulary.TokenTypes?.Contains(Byte) != true)
            yield return "The vocabulary has no byte tokens: llama.cpp ends the process on text with characters that no token spells.";
    }

    private static IEnumerable<(string Key, object? Value)> Values(GgufVocabulary vocabulary, int? paddingId) =>
    [
        ("model", vocabulary.Model),
        ("pre", vocabulary.Pre),
        ("tokens", vocabulary.Tokens.ToArray()),
        ("scores", vocabulary.Scores?.ToArray()),
        ("token_type", vocabulary.TokenTypes?.ToArray()),
        ("merges", vocabulary.Merges?.ToArray()),
        ("bos_token_id", (uint?)vocabulary.BosId),
        ("eos_token_id", (uint?)vocabulary.EosId),
        ("unknown_token_id", (uint?)vocabulary.UnknownId),
        ("padding_token_id", (uint?)paddingId),
        ("add_bos_token", vocabulary.AddBos),
        ("add_eos_token", vocabulary.AddEos),
        ("add_space_prefix", vocabulary.AddSpacePrefix),
    ];
}
