using LowRankQuant.Formats;
using LowRankQuant.Formats.Gguf;
using LowRankQuant.Models.ChatTemplates;
using LowRankQuant.Models.Tokenizers.Gguf;

namespace LowRankQuant.Models.Checkpoints.Gguf;

/// <summary>The vocabulary and the chat templates in a GGUF file's metadata.</summary>
internal static class GgufVocabularyReader
{
    private const string Prefix = "tokenizer.ggml.", Template = "tokenizer.chat_template", TemplateNames = "tokenizer.chat_templates";

    // Read here, or by engines when they generate and nowhere else; keys that end in token_id or token_ids name tokens.
    private static readonly string[] Known =
        ["model", "pre", "tokens", "scores", "token_type", "token_type_count", "merges", "add_bos_token", "add_eos_token", "add_space_prefix"];

    // llama.cpp reads them for vocabularies of other kinds only.
    private static readonly string[] Unused = ["add_sep_token", "remove_extra_whitespaces", "precompiled_charsmap"];

    /// <summary>Reads it.</summary>
    /// <exception cref="CheckpointException">The file has none, or an id is negative.</exception>
    public static GgufVocabulary Read(GgufFile file)
    {
        GgufMetadata metadata = file.Metadata;
        return new GgufVocabulary
        {
            Model = metadata.FindString(Prefix + "model")
                ?? throw new CheckpointException($"{file.Location}: 'tokenizer.ggml.model' is missing; the file has no vocabulary."),
            ModelName = metadata.FindString("general.name"),
            Pre = metadata.FindString(Prefix + "pre"),
            Tokens = metadata.FindStrings(Prefix + "tokens")
                ?? throw new CheckpointException($"{file.Location}: 'tokenizer.ggml.tokens' is missing; the file has no vocabulary."),
            Scores = metadata.FindSingles(Prefix + "scores"),
            TokenTypes = metadata.FindInt64s(Prefix + "token_type") is { } types ? [.. types.Select(type => (int)Math.Clamp(type, -1, int.MaxValue))] : null,
            Merges = metadata.FindStrings(Prefix + "merges"),
            BosId = Id("bos_token_id"),
            EosId = Id("eos_token_id"),
            UnknownId = Id("unknown_token_id"),
            AddBos = metadata.FindBoolean(Prefix + "add_bos_token"),
            AddEos = metadata.FindBoolean(Prefix + "add_eos_token"),
            AddSpacePrefix = metadata.FindBoolean(Prefix + "add_space_prefix"),
        };

        int? Id(string key)
        {
            if (metadata.FindInt64(Prefix + key) is not { } id) return null;
            return id is >= 0 and <= int.MaxValue ? (int)id : throw new CheckpointException($"{file.Location}: '{Prefix}{key}' is {id}; a token id is not negative and has 31 bits.");
        }
    }

    /// <summary>Chat templates by name; the one without a purpose of its own is called <c>default</c>.</summary>
    public static Dictionary<string, string> Templates(GgufFile file)
    {
        var templates = new Dictionary<string, string>(StringComparer.Ordinal);
        if (file.Metadata.FindString(Template) is { } text) templates[ChatTemplateFile.Default] = text;
        // The list of names is for readers that cannot look keys up by their beginning.
        foreach (string key in file.Metadata.All.Keys.Where(key => key.StartsWith(Template + ".", StringComparison.Ordinal)).Order(StringComparer.Ordinal))
            templates.TryAdd(key[(Template.Length + 1)..], file.Metadata.GetString(key));
        return templates;
    }

    /// <summary>What of a file's vocabulary and templates is guessed or left out, a sentence each.</summary>
    public static IEnumerable<string> Warnings(GgufFile file)
    {
        GgufMetadata metadata = file.Metadata;
        if (metadata.FindString(Prefix + "model") is not { } model || model == "none") yield break;
        if (model == "gpt2" && string.IsNullOrEmpty(metadata.FindString(Prefix + "pre")))
        {
            yield return $"{file.Location}: '{Prefix}pre' is missing, so text is cut as by llama.cpp's 'default' pre-tokenizer, " +
                "which is hardly the one that the model was trained with; make the file again with a newer converter.";
        }
        string[] keys = [.. metadata.All.Keys.Where(key => key.StartsWith(Prefix, StringComparison.Ordinal)).Select(key => key[Prefix.Length..]).Order(StringComparer.Ordinal)];
        string[] unused = [.. keys.Where(key => Unused.Contains(key) && IsOn(metadata[Prefix + key]))];
        if (unused.Length > 0) yield return $"{file.Location}: {Names(unused)} is not used by llama.cpp for a '{model}' vocabulary, and not here.";
        string[] unknown = [.. keys.Where(key => !Known.Contains(key) && !Unused.Contains(key) && !key.Contains("token_id", StringComparison.Ordinal))];
        if (unknown.Length > 0) yield return $"{file.Location}: {Names(unknown)} is not known and left out.";
        if (metadata.FindStrings(Prefix + "tokens") is { } tokens && file.Contains("token_embd.weight") && file.ShapeOf("token_embd.weight") is [var rows, ..] && rows != tokens.Length)
        {
            yield return $"{file.Location}: '{Prefix}tokens' has {tokens.Length} tokens, and the embedding {rows} rows; llama.cpp refuses such a file.";
        }
        string[] missing = [.. (metadata.FindStrings(TemplateNames) ?? []).Where(name => name != ChatTemplateFile.Default && !metadata.All.ContainsKey($"{Template}.{name}"))];
        if (missing.Length > 0) yield return $"{file.Location}: '{TemplateNames}' names {string.Join(", ", missing)}, and no key '{Template}.{missing[0]}' holds it.";
    }

    private static string Names(IEnumerable<string> keys) => string.Join(", ", keys.Select(key => $"'{Prefix}{key}'"));

    private static bool IsOn(GgufValue value) => value.Value switch
    {
        bool flag => flag,
        Array list => list.Length > 0,
        string text => text.Length > 0,
        _ => true,
    };
}
