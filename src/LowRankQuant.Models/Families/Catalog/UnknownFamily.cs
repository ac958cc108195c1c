using System.Text.Json;
using System.Text.Json.Nodes;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Folds;
using LowRankQuant.Models.Decoder.Layouts;
using LowRankQuant.Models.Decoder.Passes;
using LowRankQuant.Models.Decoder.Positions;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Autograd;

namespace LowRankQuant.Models.Families.Catalog;

/// <summary>
/// A model that no family knows: its linears by <see cref="NumberedLinears"/>, so that they can be rounded, and nothing by which it could be run. A layer of many
/// weights is several blocks of one name, which bounds what is in memory at a time.
/// </summary>
internal static class UnknownFamily
{
    // Weights of a block, unless one linear has more: 256 MiB of floats.
    private const long MostWeights = 1 << 26;

    private static readonly string[] Heads = ["lm_head", "output", "embed_out", "head"];

    /// <summary>Puts it together.</summary>
    /// <param name="json">config.json.</param>
    /// <param name="linears">Its linears.</param>
    /// <param name="hasHead">Whether files hold an output head of a name, without <c>.weight</c>.</param>
    public static Architecture Read(JsonObject json, IReadOnlyList<NumberedLinear> linears, Func<string, bool> hasHead)
    {
        List<List<NumberedLinear>> blocks = Blocks(linears);
        JsonObject text = TextOf(json);
        string reason = UnknownModelType.Reason(json);
        int heads = Number(text, "num_attention_heads", "n_head", "n_heads"), width = Number(text, "hidden_size", "n_embd", "n_embed", "d_model", "dim");
        if (width == 0) width = linears.GroupBy(linear => linear.InFeatures).MaxBy(size => size.Count())?.Key ?? 0;
        int size = Number(text, "head_dim");
        string? head = Heads.FirstOrDefault(hasHead);
        bool? tied = new[] { json, text }.Select(part => part[ConfigReader.TieKey] is JsonValue flag && flag.TryGetValue(out bool said) ? said : (bool?)null).FirstOrDefault(said => said is not null);
        return new Architecture
        {
            Unknown = reason,
            Names = [.. blocks.Select(block => block[0].Layer)],
            HeadName = $"{head ?? Heads[0]}.weight",
            Config = new DecoderConfig
            {
                ModelType = UnknownModelType.NameOf(json),
                HiddenSize = width,
                Layers = blocks.Count,
                Heads = heads,
                KeyValueHeads = Number(text, "num_key_value_heads", "num_kv_heads") is > 0 and int keys ? keys : heads,
                HeadSize = size > 0 ? size : heads > 0 ? width / heads : 0,
                IntermediateSize = Number(text, "intermediate_size", "n_inner", "ffn_dim"),
                VocabularySize = Number(text, "vocab_size"),
                MaxPositions = Number(text, "max_position_embeddings", "n_positions", "max_seq_len"),
                NormEpsilon = 0,
                Activation = Activation.Silu,
                Rope = new RopeConfig { Theta = 10000, RotatedSize = 2 },
                TiedEmbeddings = tied ?? head is null,
            },
            Block = parts =>
            {
                foreach (NumberedLinear linear in blocks[parts.Index]) parts.Linear(linear.Name, linear.OutFeatures, linear.InFeatures);
                return new NoBody(reason);
            },
        };
    }

    private static List<List<NumberedLinear>> Blocks(IReadOnlyList<NumberedLinear> linears)
    {
        var blocks = new List<List<NumberedLinear>>();
        long weights = 0;
        foreach (NumberedLinear linear in linears)
        {
            long own = (long)linear.OutFeatures * linear.InFeatures;
            if (blocks.Count == 0 || blocks[^1][0].Layer != linear.Layer || weights + own > MostWeights)
            {
                blocks.Add([]);
                weights = 0;
            }
            blocks[^1].Add(linear);
            weights += own;
        }
        return blocks;
    }

    /// <summary>The part of a configuration that speaks of layers of a language model: the whole where it does, else an object in it.</summary>
    public static JsonObject TextOf(JsonObject json)
    {
        string[] signs = ["num_hidden_layers", "n_layer", "n_layers", "num_layers", "hidden_size"];
        if (signs.Any(json.ContainsKey)) return json;
        return json.Select(pair => (pair.Key, Value: pair.Value as JsonObject)).Where(pair => pair.Value is not null && signs.Any(pair.Value.ContainsKey))
            .OrderBy(pair => pair.Key.Contains("vision", StringComparison.Ordinal) || pair.Key.Contains("audio", StringComparison.Ordinal)).Select(pair => pair.Value).FirstOrDefault() ?? json;
    }

    // A size that the configuration has under one of several keys; 0 where it has none, since nothing depends on it.
    private static int Number(JsonObject json, params string[] keys) =>
        keys.Select(key => json[key] is JsonValue value && value.GetValueKind() == JsonValueKind.Number && value.TryGetValue(out int size) && size > 0 ? size : 0).FirstOrDefault(size => size > 0);

    private sealed class NoBody(string reason) : IBlockBody, IMixer
    {
        public IMixer Mixer => this;

        public StateSize StateSize => default;

        TapeNumbers IMixer.OnTape => default;

        public TapeNumbers OnTape(int hidden) => default;

        public IMixerState CreateState(Device device, int positions) => throw Refused();

        public Variable Apply(Tape tape, Variable x, ForwardPass pass) => throw Refused();

        public Variable Forward(Tape tape, Variable x, ForwardPass pass) => throw Refused();

        public void AddFolds(FoldList folds) => folds.RefuseAll(reason);

        private UnsupportedModelException Refused() => new($"{reason}; it cannot be run.");
    }
}
