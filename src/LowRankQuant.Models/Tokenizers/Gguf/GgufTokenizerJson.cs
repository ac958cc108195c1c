using System.Text.Json.Nodes;
using LowRankQuant.Models.Tokenizers.SentencePiece;

namespace LowRankQuant.Models.Tokenizers.Gguf;

/// <summary>
/// A GGUF vocabulary as the content of a tokenizer.json: byte-level BPE with the patterns of its pre-tokenizer, or, for a SentencePiece style vocabulary,
/// BPE with byte fallback whose merges come from the scores, as Hugging Face's own conversion makes them.
/// </summary>
internal static class GgufTokenizerJson
{
    private const string Metaspace = "\u2581";

    /// <summary>The content of tokenizer.json.</summary>
    /// <exception cref="TokenizerException">The vocabulary contradicts itself, or is of a kind that is not known.</exception>
    public static JsonObject Create(GgufVocabulary source)
    {
        // Building the tokenizer first refuses whatever is wrong with the vocabulary.
        ITokenizer tokenizer = GgufTokenizer.Create(source);
        (Vocabulary vocabulary, TokenKind[] kinds) = GgufTokenizer.ReadTokens(source);
        bool stripsAfterSpecial = tokenizer is SpmTokenizer { Settings.StripsAfterSpecial: true };
        (bool addsEos, JsonObject parts) = tokenizer switch
        {
            SpmTokenizer spm => (spm.Settings.AddEos, SentencePiece(spm.Settings.AddSpacePrefix, Unknown(source, kinds, vocabulary), Merges(source, vocabulary, kinds))),
            GgufBpeTokenizer bpe => (bpe.AddsEos, ByteLevel(GgufPreTokenizer.Find(source.Pre), source.Merges!)),
            _ => throw new NotSupportedException("There is no tokenizer.json for a vocabulary of this kind."),
        };
        var tokens = new JsonObject();
        for (int id = 0; id < kinds.Length; id++) tokens[vocabulary.Text(id)!] = id;
        parts["model"]!["vocab"] = tokens;
        var json = new JsonObject
        {
            ["version"] = "1.0",
            ["truncation"] = null,
            ["padding"] = null,
            ["added_tokens"] = AddedTokens(vocabulary, kinds, stripsAfterSpecial),
            ["post_processor"] = Template(tokenizer.AddsBos ? tokenizer.BosId : null, addsEos ? tokenizer.EosId : null, vocabulary),
        };
        foreach (string key in (ReadOnlySpan<string>)["normalizer", "pre_tokenizer", "decoder", "model"]) json[key] = parts[key]?.DeepClone();
        return json;
    }

    private static JsonObject ByteLevel(GgufPreTokenizer pre, IReadOnlyList<string> merges)
    {
        var stages = new JsonArray();
        foreach (string pattern in pre.Patterns)
        {
            stages.Add(new JsonObject
            {
                ["type"] = "Split",
                ["pattern"] = new JsonObject { ["Regex"] = pattern },
                ["behavior"] = "Isolated",
                ["invert"] = false,
            });
        }
        stages.Add(ByteLevelStage());
        return new JsonObject
        {
            ["normalizer"] = null,
            ["pre_tokenizer"] = new JsonObject { ["type"] = "Sequence", ["pretokenizers"] = stages },
            ["decoder"] = ByteLevelStage(),
            ["model"] = Bpe(unknown: null, byteFallback: false, pre.IgnoresMerges, merges),
        };
    }

    private static JsonObject ByteLevelStage() =>
        new() { ["type"] = "ByteLevel", ["add_prefix_space"] = false, ["trim_offsets"] = true, ["use_regex"] = false };

    private static JsonObject SentencePiece(bool addsPrefix, string? unknown, IReadOnlyList<string> merges)
    {
        var normalizers = new JsonArray();
        var decoders = new JsonArray
        {
            new JsonObject { ["type"] = "Replace", ["pattern"] = new JsonObject { ["String"] = Metaspace }, ["content"] = " " },
            new JsonObject { ["type"] = "ByteFallback" },
            new JsonObject { ["type"] = "Fuse" },
        };
        if (addsPrefix)
        {
            normalizers.Add(new JsonObject { ["type"] = "Prepend", ["prepend"] = Metaspace });
            decoders.Add(new JsonObject { ["type"] = "Strip", ["content"] = " ", ["start"] = 1, ["stop"] = 0 });
        }
        normalizers.Add(new JsonObject { ["type"] = "Replace", ["pattern"] = new JsonObject { ["String"] = " " }, ["content"] = Metaspace });
        return new JsonObject
        {
            ["normalizer"] = new JsonObject { ["type"] = "Sequence", ["normalizers"] = normalizers },
            ["pre_tokenizer"] = null,
            ["decoder"] = new JsonObject { ["type"] = "Sequence", ["decoders"] = decoders },
            ["model"] = Bpe(unknown, byteFallback: true, ignoreMerges: false, merges),
        };
    }

    private static JsonObject Bpe(string? unknown, bool byteFallback, bool ignoreMerges, IReadOnlyList<string> merges) => new()
    {
        ["type"] = "BPE",
        ["dropout"] = null,
        ["unk_token"] = unknown,
        ["continuing_subword_prefix"] = null,
        ["end_of_word_suffix"] = null,
        ["fuse_unk"] = unknown is not null,
        ["byte_fallback"] = byteFallback,
        ["ignore_merges"] = ignoreMerges,
        ["vocab"] = null,
        ["merges"] = new JsonArray([.. merges.Select(merge => (JsonNode)merge)]),
    };

    /// <summary>
    /// Every way to cut a token into two tokens, the best score of the whole first: the order in which SentencePiece joins neighbours.
    /// </summary>
    private static List<string> Merges(GgufVocabulary source, Vocabulary vocabulary, TokenKind[] kinds)
    {
        var merges = new List<(float Score, int Left, int Right)>();
        for (int id = 0; id < kinds.Length; id++)
        {
            if (kinds[id] is not (TokenKind.Normal or TokenKind.Unused or TokenKind.UserDefined)) continue;
            string token = vocabulary.Text(id)!;
            for (int cut = 1; cut < token.Length; cut++)
            {
                if (char.IsLowSurrogate(token[cut])) continue;
                // A merge is written with a space between its two sides.
                if (vocabulary.TryGetId(token.AsSpan(0, cut), out int left) && vocabulary.TryGetId(token.AsSpan(cut), out int right) && !token.Contains(' '))
                    merges.Add((source.Scores![id], left, right));
            }
        }
        return [.. merges.OrderByDescending(merge => merge.Score).ThenBy(merge => merge.Left).ThenBy(merge => merge.Right)
            .Select(merge => $"{vocabulary.Text(merge.Left)} {vocabulary.Text(merge.Right)}")];
    }

    private static string? Unknown(GgufVocabulary source, TokenKind[] kinds, Vocabulary vocabulary)
    {
        int id = source.UnknownId ?? Array.IndexOf(kinds, TokenKind.Unknown);
        return id < 0 ? null : vocabulary.Text(id);
    }

    private static JsonArray AddedTokens(Vocabulary vocabulary, TokenKind[] kinds, bool stripsAfter)
    {
        var added = new JsonArray();
        for (int id = 0; id < kinds.Length; id++)
        {
            if (kinds[id] is not (TokenKind.Control or TokenKind.Unknown or TokenKind.UserDefined)) continue;
            added.Add(new JsonObject
            {
                ["id"] = id,
                ["content"] = vocabulary.Text(id),
                ["single_word"] = false,
                ["lstrip"] = false,
                ["rstrip"] = stripsAfter,
                ["normalized"] = false,
                ["special"] = kinds[id] is TokenKind.Control or TokenKind.Unknown,
            });
        }
        return added;
    }

    private static JsonObject? Template(int? bos, int? eos, Vocabulary vocabulary)
    {
        if (bos is null && eos is null) return null;
        var special = new JsonObject();
        JsonArray Sequence(params (string Name, int Type)[] parts)
        {
            var pieces = new JsonArray();
            foreach ((string name, int type) in parts)
            {
                if (bos is { } first) pieces.Add(Special(first, type));
                pieces.Add(new JsonObject { ["Sequence"] = new JsonObject { ["id"] = name, ["type_id"] = type } });
                if (eos is { } last) pieces.Add(Special(last, type));
            }
            return pieces;
        }
        JsonObject Special(int id, int type)
        {
            string text = vocabulary.Text(id)!;
            special[text] = new JsonObject { ["id"] = text, ["ids"] = new JsonArray(id), ["tokens"] = new JsonArray(text) };
            return new JsonObject { ["SpecialToken"] = new JsonObject { ["id"] = text, ["type_id"] = type } };
        }
        return new JsonObject
        {
            ["type"] = "TemplateProcessing",
            ["single"] = Sequence(("A", 0)),
            ["pair"] = Sequence(("A", 0), ("B", 1)),
            ["special_tokens"] = special,
        };
    }
}
