using System.Text.Json;
using LowRankQuant.Models.Tokenizers.Bpe;
using LowRankQuant.Models.Tokenizers.Pipeline;
using LowRankQuant.Models.Tokenizers.SentencePiece;

namespace LowRankQuant.Models.Tokenizers.HuggingFace;

/// <summary>Builds a tokenizer from the parts of a tokenizer.json.</summary>
internal static class TokenizerJsonReader
{
    internal static PipelineTokenizer Read(JsonField root, TokenizerConfig config)
    {
        Normalizer? normalizer = ComponentReader.ReadNormalizer(root.Member("normalizer"));
        PreTokenizer? preTokenizer = ComponentReader.ReadPreTokenizer(root.Member("pre_tokenizer"), out bool modelMapsBytes);
        ITokenModel model = ReadModel(root.Required("model", JsonValueKind.Object), modelMapsBytes);
        List<string> warnings = [];
        List<AddedToken> addedTokens = AddedTokenList.Merge(ReadAddedTokens(root.Member("added_tokens"), model.Vocabulary), model.Vocabulary, config, warnings);
        AddedTokens added = new(addedTokens, normalizer);
        int? Find(string? token) => token is null ? null : added.Find(token) ?? model.Vocabulary.Find(token);

        JsonField postProcessor = root.Member("post_processor");
        (int[] prefix, int[] suffix) = PostProcessorReader.Read(
            postProcessor, id => added.TryGet(id, out _) || model.Vocabulary.Text(id) is not null);
        int? bos = Find(config.BosToken);
        int? eos = Find(config.EosToken);
        if (postProcessor.IsNull)
        {
            // Only where tokenizer.json has no post-processor is it the configuration's turn.
            if (config.AddBos == true) prefix = [bos ?? throw NoToken("bos_token", config.BosToken)];
            if (config.AddEos == true) suffix = [eos ?? throw NoToken("eos_token", config.EosToken)];
        }
        return new PipelineTokenizer(new PipelineParts(model, added)
        {
            Normalizer = normalizer,
            PreTokenizer = preTokenizer,
            Decoder = ComponentReader.ReadDecoder(root.Member("decoder")),
            Prefix = prefix,
            Suffix = suffix,
            // Without a configuration, what the post-processor puts in front is the begin token.
            BosId = bos ?? (prefix.Length > 0 ? prefix[0] : null),
            EosId = eos ?? (suffix.Length > 0 ? suffix[^1] : null),
            Warnings = warnings,
        });
    }

    private static TokenizerException NoToken(string key, string? token) => TokenizerException.For($"tokenizer_config.json: {key}", token ?? "null",
        $"add_{key} is true, but this is no token of the vocabulary", $"Set add_{key} to false or name a token.");

    private static List<AddedToken> ReadAddedTokens(JsonField node, Vocabulary vocabulary)
    {
        List<AddedToken> tokens = [];
        if (node.IsNull) return tokens;
        HashSet<int> ids = [];
        HashSet<string> texts = new(StringComparer.Ordinal);
        foreach (JsonField item in node.Items())
        {
            JsonField idNode = item.Required("id", JsonValueKind.Number);
            int id = idNode.Number();
            if (id is < 0 or >= Vocabulary.IdLimit) throw idNode.Wrong($"a token id must lie in 0..{Vocabulary.IdLimit - 1}");
            AddedToken token = TokenizerConfig.ReadAddedToken(item, id);
            if (token.Content.Length == 0) continue;
            if (!ids.Add(id)) throw idNode.Wrong("two added tokens have this id", "Give every token an id of its own.");
            if (!texts.Add(token.Content)) throw item.Member("content").Wrong("the token is listed twice", "Remove one of the two entries.");
            if (vocabulary.Text(id) is { } other && other != token.Content)
            {
                throw idNode.Wrong($"the id of {TokenizerException.Quote(token.Content)} belongs to {TokenizerException.Quote(other)} in model.vocab",
                    "Give every token an id of its own.");
            }
            if (vocabulary.Find(token.Content) is { } known && known != id)
                throw idNode.Wrong($"{TokenizerException.Quote(token.Content)} has the id {known} in model.vocab", "Use the same id in both places.");
            tokens.Add(token);
        }
        return tokens;
    }

    private static ITokenModel ReadModel(JsonField model, bool mapsBytes)
    {
        JsonField type = model.Member("type");
        // Old files do not name the type of a BPE model; its merges give it away.
        string name = type.IsNull ? (model.Member("merges").IsNull ? "" : "BPE") : type.Text();
        return name switch
        {
            "BPE" => ReadBpe(model, mapsBytes),
            "Unigram" when !mapsBytes => ReadUnigram(model),
            _ => throw type.Unknown("BPE and Unigram"),
        };
    }

    private static BpeModel ReadBpe(JsonField model, bool mapsBytes)
    {
        if (model.Member("dropout") is { IsNull: false } dropout
            && (dropout.Element.ValueKind != JsonValueKind.Number || dropout.Element.GetDouble() != 0))
            throw dropout.Wrong("merges dropped at random are for training tokenizers", "Set dropout to null.");
        JsonField vocab = model.Required("vocab", JsonValueKind.Object);
        Vocabulary vocabulary = ReadVocabulary(vocab);
        BpeOptions options = new()
        {
            UnknownToken = model.TextOrNull("unk_token"),
            ContinuingSubwordPrefix = model.TextOrNull("continuing_subword_prefix") ?? "",
            EndOfWordSuffix = model.TextOrNull("end_of_word_suffix") ?? "",
            FuseUnknown = model.Flag("fuse_unk", false),
            ByteFallback = model.Flag("byte_fallback", false),
            IgnoreMerges = model.Flag("ignore_merges", false),
            MapsBytes = mapsBytes,
        };
        JsonField merges = model.Required("merges", JsonValueKind.Array);
        int count = merges.Element.GetArrayLength();
        MergeTable table = new(count);
        int rank = 0;
        foreach (JsonField merge in merges.Items())
        {
            (string left, string right) = ReadMerge(merge);
            BpeModel.AddMerge(table, vocabulary, left, right, rank++, options.ContinuingSubwordPrefix.Length, replace: true);
        }
        return new BpeModel(vocabulary, table, options);
    }

    internal static Vocabulary ReadVocabulary(JsonField vocab)
    {
        Vocabulary vocabulary = new(vocab.Element.GetPropertyCount());
        foreach (JsonProperty entry in vocab.Element.EnumerateObject())
        {
            string token = Name(entry, vocab.Path);
            if (entry.Value.ValueKind != JsonValueKind.Number || !entry.Value.TryGetInt64(out long id))
                throw new JsonField(entry.Value, $"{vocab.Path}[{TokenizerException.Quote(token)}]").Wrong("a token id must be a whole number");
            vocabulary.Add(token, id, vocab.Path);
        }
        return vocabulary;
    }

    private static string Name(JsonProperty entry, string path)
    {
        try
        {
            return entry.Name;
        }
        catch (InvalidOperationException error)
        {
            throw new TokenizerException($"{path}: a token is not well-formed Unicode. The file is damaged; fetch it again.", error);
        }
    }

    private static (string Left, string Right) ReadMerge(JsonField merge)
    {
        if (merge.Element.ValueKind == JsonValueKind.Array)
        {
            if (merge.Element.GetArrayLength() != 2) throw merge.Wrong("a merge must have two sides");
            return (new JsonField(merge.Element[0], merge.Path).Text(), new JsonField(merge.Element[1], merge.Path).Text());
        }
        string text = merge.Text();
        int space = text.IndexOf(' ', StringComparison.Ordinal);
        if (space <= 0 || space == text.Length - 1 || text.IndexOf(' ', space + 1) >= 0)
            throw merge.Wrong("a merge must be two tokens with one space between them");
        return (text[..space], text[(space + 1)..]);
    }

    private static UnigramModel ReadUnigram(JsonField model)
    {
        JsonField vocab = model.Required("vocab", JsonValueKind.Array);
        int count = vocab.Element.GetArrayLength();
        Vocabulary vocabulary = new(count);
        float[] scores = new float[count];
        bool[] matched = new bool[count];
        int id = 0;
        foreach (JsonField item in vocab.Items())
        {
            item.Expect(JsonValueKind.Array);
            if (item.Element.GetArrayLength() != 2 || item.Element[1].ValueKind != JsonValueKind.Number)
                throw item.Wrong("an entry must be a token and its score");
            vocabulary.Add(new JsonField(item.Element[0], item.Path).Text(), id, vocab.Path);
            scores[id] = item.Element[1].GetSingle();
            if (!float.IsFinite(scores[id])) throw item.Wrong("a score must be finite");
            matched[id++] = true;
        }
        int unknown = model.Number("unk_id", -1);
        if (unknown < -1 || unknown >= count) throw model.Member("unk_id").Wrong($"must be a token id below {count}");
        return new UnigramModel(vocabulary, scores, matched, unknown, model.Flag("byte_fallback", false));
    }
}
