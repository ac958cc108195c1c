using System.Globalization;
using System.Text.Json;

namespace LowRankQuant.Models.Tokenizers;

/// <summary>What tokenizer_config.json says about special tokens.</summary>
internal sealed record TokenizerConfig
{
    private const string FileName = "tokenizer_config.json";

    internal string? BosToken { get; init; }
    internal string? EosToken { get; init; }
    internal bool? AddBos { get; init; }
    internal bool? AddEos { get; init; }
    internal IReadOnlyList<AddedToken> AddedTokens { get; init; } = [];

    /// <summary>Reads the file in the folder of another file; defaults when there is none.</summary>
    internal static TokenizerConfig LoadBeside(string path)
    {
        string file = Path.Combine(Path.GetDirectoryName(Path.GetFullPath(path))!, FileName);
        if (!File.Exists(file)) return new TokenizerConfig();
        using FileStream stream = File.OpenRead(file);
        return Read(stream);
    }

    internal static TokenizerConfig Read(Stream stream)
    {
        using JsonDocument document = JsonField.Parse(stream, FileName);
        JsonField root = JsonField.Root(document, FileName);
        return new TokenizerConfig
        {
            BosToken = Token(root.Member("bos_token")),
            EosToken = Token(root.Member("eos_token")),
            AddBos = Switch(root, "add_bos_token"),
            AddEos = Switch(root, "add_eos_token"),
            AddedTokens = ReadAddedTokens(root.Member("added_tokens_decoder")),
        };
    }

    internal static AddedToken ReadAddedToken(JsonField node, int id) => new(id, node.Text("content"))
    {
        SingleWord = node.Flag("single_word", false),
        StripLeft = node.Flag("lstrip", false),
        StripRight = node.Flag("rstrip", false),
        Special = node.Flag("special", false),
        Normalized = node.Flag("normalized", !node.Flag("special", false)),
    };

    private static bool? Switch(JsonField root, string name) => root.Member(name).IsNull ? null : root.Flag(name, false);

    // A token is its text, or an object with the text under "content".
    private static string? Token(JsonField node)
    {
        if (node.IsNull) return null;
        return node.Element.ValueKind == JsonValueKind.Object ? node.Text("content") : node.Text();
    }

    private static List<AddedToken> ReadAddedTokens(JsonField node)
    {
        List<AddedToken> tokens = [];
        if (node.IsNull) return tokens;
        node.Expect(JsonValueKind.Object);
        foreach (JsonProperty entry in node.Element.EnumerateObject())
        {
            JsonField member = new(entry.Value, $"{node.Path}[{entry.Name}]");
            if (!int.TryParse(entry.Name, NumberStyles.None, CultureInfo.InvariantCulture, out int id) || id >= Vocabulary.IdLimit)
                throw member.Wrong($"the key must be a token id in 0..{Vocabulary.IdLimit - 1}");
            tokens.Add(ReadAddedToken(member, id));
        }
        return tokens;
    }
}
