using System.Globalization;
using System.Text.Json;

namespace LowRankQuant.Models.Tokenizers;

/// <summary>
/// What the files beside a vocabulary say about its tokens, as transformers takes them: <c>added_tokens_decoder</c> of tokenizer_config.json with ids and
/// flags; where it is absent, added_tokens.json with ids and special_tokens_map.json with flags. Special tokens that are named without an id follow behind
/// the vocabulary.
/// </summary>
internal sealed record TokenizerConfig
{
    private const string FileName = "tokenizer_config.json", MapName = "special_tokens_map.json", AddedName = "added_tokens.json";
    private const string Decoder = "added_tokens_decoder";

    // In the order in which transformers gives ids to those that have none.
    private static readonly string[] SpecialNames = ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];
    private static readonly string[] SpecialLists = ["additional_special_tokens", "extra_special_tokens", "model_specific_special_tokens"];

    internal string? BosToken { get; init; }
    internal string? EosToken { get; init; }
    internal bool? AddBos { get; init; }
    internal bool? AddEos { get; init; }

    /// <summary>SentencePiece only: false where a text behind a special token gets no space in front.</summary>
    internal bool? Legacy { get; init; }

    /// <summary>Tokens with ids.</summary>
    internal IReadOnlyList<AddedToken> AddedTokens { get; init; } = [];

    /// <summary>Special tokens by text; their ids stand elsewhere, or nowhere.</summary>
    internal IReadOnlyList<AddedToken> SpecialTokens { get; init; } = [];

    /// <summary>Rows of the embedding; null where they are not known.</summary>
    internal int? Rows { get; init; }

    /// <summary>Where <see cref="AddedTokens"/> come from, for messages.</summary>
    internal string Source { get; init; } = $"{FileName}: {Decoder}";

    /// <summary>Reads the files in the folder of another file; defaults where there are none.</summary>
    internal static TokenizerConfig LoadBeside(string path)
    {
        string folder = Path.GetDirectoryName(Path.GetFullPath(path))!;
        TokenizerConfig config = Load(folder, FileName, Read) ?? new TokenizerConfig();
        if (config.AddedTokens.Count > 0) return config;
        if (Load(folder, MapName, Read) is { } map)
        {
            HashSet<string> named = [.. config.SpecialTokens.Select(token => token.Content)];
            config = config with
            {
                BosToken = config.BosToken ?? map.BosToken,
                EosToken = config.EosToken ?? map.EosToken,
                SpecialTokens = [.. config.SpecialTokens, .. map.SpecialTokens.Where(token => !named.Contains(token.Content))],
            };
        }
        List<AddedToken>? added = Load(folder, AddedName, root => ReadIds(root, config.SpecialTokens));
        return added is null ? config : config with { AddedTokens = added, Source = AddedName };
    }

    internal static TokenizerConfig Read(Stream stream)
    {
        using JsonDocument document = JsonField.Parse(stream, FileName);
        return Read(JsonField.Root(document, FileName));
    }

    internal static AddedToken ReadAddedToken(JsonField node, int id) => new(id, node.Text("content"))
    {
        SingleWord = node.Flag("single_word", false),
        StripLeft = node.Flag("lstrip", false),
        StripRight = node.Flag("rstrip", false),
        Special = node.Flag("special", false),
        Normalized = node.Flag("normalized", !node.Flag("special", false)),
    };

    private static T? Load<T>(string folder, string name, Func<JsonField, T> read)
        where T : class
    {
        string file = Path.Combine(folder, name);
        if (!File.Exists(file) && !Directory.Exists(file)) return null;
        using JsonDocument document = JsonField.ParseFile(file);
        return read(JsonField.Root(document, name));
    }

    private static TokenizerConfig Read(JsonField root) => new()
    {
        BosToken = Special(root.Member("bos_token"))?.Content,
        EosToken = Special(root.Member("eos_token"))?.Content,
        AddBos = Switch(root, "add_bos_token"),
        AddEos = Switch(root, "add_eos_token"),
        Legacy = Switch(root, "legacy"),
        AddedTokens = ReadAddedTokens(root.Member(Decoder)),
        SpecialTokens = [.. ReadSpecialTokens(root).DistinctBy(token => token.Content)],
    };

    private static bool? Switch(JsonField root, string name) => root.Member(name).IsNull ? null : root.Flag(name, false);

    private static IEnumerable<AddedToken> ReadSpecialTokens(JsonField root)
    {
        IEnumerable<JsonField> nodes = SpecialNames.Select(root.Member);
        foreach (JsonField list in SpecialLists.Select(root.Member).Where(list => !list.IsNull))
        {
            nodes = nodes.Concat(list.Element.ValueKind == JsonValueKind.Object
                ? list.Element.EnumerateObject().Select(entry => new JsonField(entry.Value, $"{list.Path}.{entry.Name}"))
                : list.Items());
        }
        return nodes.Select(Special).OfType<AddedToken>();
    }

    // A token is its text, or an object with the text under "content"; some old files have false where there is none.
    private static AddedToken? Special(JsonField node)
    {
        if (node.IsNull || node.Element.ValueKind == JsonValueKind.False) return null;
        AddedToken token = node.Element.ValueKind == JsonValueKind.Object ? ReadAddedToken(node, -1) : new AddedToken(-1, node.Text());
        return token.Content.Length == 0 ? null : token with { Special = true, Normalized = node.Element.ValueKind == JsonValueKind.Object && token.Normalized };
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

    // added_tokens.json: text to id; the flags stand in special_tokens_map.json for those that are special, and are those of plain tokens for the rest.
    private static List<AddedToken> ReadIds(JsonField root, IReadOnlyList<AddedToken> special)
    {
        Dictionary<string, AddedToken> flags = special.ToDictionary(token => token.Content, StringComparer.Ordinal);
        List<AddedToken> tokens = [];
        foreach (JsonProperty entry in root.Element.EnumerateObject())
        {
            JsonField id = new(entry.Value, $"{root.Path}[{TokenizerException.Quote(entry.Name)}]");
            if (id.Number() is < 0 or >= Vocabulary.IdLimit) throw id.Wrong($"a token id must lie in 0..{Vocabulary.IdLimit - 1}");
            AddedToken token = flags.GetValueOrDefault(entry.Name) ?? new AddedToken(-1, entry.Name) { Normalized = true };
            tokens.Add(token with { Id = id.Number() });
        }
        return tokens;
    }
}
