using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Bodies;
using LowRankQuant.Models.Decoder.FeedForward;
using LowRankQuant.Models.Decoder.Linears;
using LowRankQuant.Models.Decoder.Mixers;
using LowRankQuant.Models.Decoder.Norms;
using LowRankQuant.Models.Decoder.Positions;
using LowRankQuant.Models.Families.Gguf;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Autograd;

namespace LowRankQuant.Models.Families.Llama;

/// <summary>
/// Gemma 4: local layers with windows, global ones with larger heads, proportional rotation and perhaps values that are the raw keys; values normalised; norms that
/// multiply by w; scores without a scale; perhaps inputs of the blocks' own, blocks that read keys and values of earlier ones, experts beside the MLP.
/// </summary>
internal sealed class Gemma4Family : IModelFamily
{
    /// <inheritdoc/>
    public IReadOnlyList<string> ModelTypes => ["gemma4_text", "gemma4"];

    /// <inheritdoc/>
    public string Description => "Gemma 4, also as the text model of the multimodal one: windows, shared keys and values, inputs of the layers' own, experts";

    /// <inheritdoc/>
    public string? TextKey => "text_config";

    /// <inheritdoc/>
    IReadOnlyList<GgufArchitecture> IModelFamily.Gguf => [Gemma4Gguf.Form];

    /// <inheritdoc/>
    Architecture IModelFamily.Read(ConfigReader reader)
    {
        var model = new Model(reader);
        DecoderConfig config = model.Config;
        int e = model.OwnInput, vocabulary = reader.Size("vocab_size_per_layer_input", config.VocabularySize);
        float cap = (float)(reader.Number("final_logit_softcapping") ?? 0);
        if (reader.Text("use_bidirectional_attention") is { } bidirectional and not "vision") throw reader.Unsupported("use_bidirectional_attention", bidirectional);
        return new Architecture
        {
            Config = config,
            Unused = model.IsUnused,
            BaseNames = ["embed_tokens", "norm", "layers", "embed_tokens_per_layer", "per_layer_model_projection", "per_layer_projection_norm"],
            Embedding = (parts, table) => new InputEmbedding
            {
                Table = table,
                HiddenSize = config.HiddenSize,
                Factor = (float)Math.Sqrt(config.HiddenSize),
                PerLayer = e == 0 ? null : new PerLayerEmbedding
                {
                    Table = parts.Tensor("model.embed_tokens_per_layer.weight", vocabulary, config.Layers * e),
                    Projection = parts.Tensor("model.per_layer_model_projection.weight", config.Layers * e, config.HiddenSize),
                    Norm = parts.RmsNorm("model.per_layer_projection_norm", e, config.NormEpsilon),
                    TokenFactor = (float)Math.Sqrt(e),
                    ProjectionFactor = (float)(1 / Math.Sqrt(config.HiddenSize)),
                },
                Parts = parts,
            },
            Block = model.Block,
            FinalNorm = parts => parts.RmsNorm("model.norm", config.HiddenSize, config.NormEpsilon),
            Head = (parts, norm, weight) => new OutputHead(norm, weight, parts) { SoftCap = cap },
        };
    }

    private sealed class Model
    {
        private const string Local = "sliding_attention";
        private static readonly string[] OfKeysAndValues = ["k_proj", "v_proj", "k_norm"];
        private readonly IReadOnlyList<string> _types;
        private readonly RopeConfig _localRope;
        private readonly (int HeadSize, int KeyHeads)[] _heads;
        private readonly int _window;
        private readonly int _shared;
        private readonly bool _valuesAreKeys;
        private readonly bool _doubleWidth;
        private readonly Routing? _routing;
        private readonly int _expertWidth;

        public Model(ConfigReader reader)
        {
            var full = new RopeRule { Theta = 1e6, Partial = 0.25, Scaling = new() { ["rope_type"] = "proportional" } };
            DecoderConfig config = reader.Decoder(new FamilyDefaults { Tied = true, HeadSize = 256, Positions = 131072, Activation = "gelu_pytorch_tanh", Rope = full }) with { AttentionScale = 1 };
            _types = reader.LayerTypes(config.Layers, layer => (layer + 1) % 6 == 0 || layer == config.Layers - 1);
            _valuesAreKeys = reader.Flag("attention_k_eq_v", false);
            int size = reader.Size("global_head_dim", 512), keyHeads = _valuesAreKeys ? reader.Size("num_global_key_value_heads", config.KeyValueHeads) : config.KeyValueHeads;
            ConfigReader own = reader.Part("per_layer_config");
            _heads = [.. _types.Select((type, layer) =>
            {
                ConfigReader one = own.Part(layer.ToString(System.Globalization.CultureInfo.InvariantCulture));
                return type == Local ? (config.HeadSize, config.KeyValueHeads) : (one.Size("head_dim", size), one.Size("num_key_value_heads", keyHeads));
            })];
            int global = _heads.Where((_, layer) => _types[layer] != Local).Select(heads => heads.HeadSize).FirstOrDefault(size);
            Config = config with { Rope = reader.Rope(global, config.MaxPositions, full) };
            _localRope = reader.Rope(config.HeadSize, config.MaxPositions, new RopeRule { LayerType = Local, Scaled = false, PartialKey = "partial_of_local_layers" });
            _window = reader.Window("sliding_window", 512);
            _shared = reader.Count("num_kv_shared_layers", 0);
            if (_shared >= config.Layers) throw reader.Wrong("num_kv_shared_layers", null, $"must be below num_hidden_layers, {config.Layers}");
            _doubleWidth = reader.Flag("use_double_wide_mlp", false);
            OwnInput = reader.Count("hidden_size_per_layer_input", 256);
            if (!reader.Flag("enable_moe_block", false)) return;
            _expertWidth = reader.Size("moe_intermediate_size");
            _routing = new Routing { Experts = reader.Size("num_experts"), Chosen = reader.Size("top_k_experts"), Norm = 1 };
        }

        public DecoderConfig Config { get; }

        /// <summary>Columns of a block's own input; 0 for none.</summary>
        public int OwnInput { get; }

        /// <summary>Files hold keys and values of blocks that read those of others.</summary>
        public bool IsUnused(string tensor) => Enumerable.Range(Config.Layers - _shared, _shared).Any(layer =>
            OfKeysAndValues.Any(part => tensor == $"model.layers.{layer}.self_attn.{part}.weight"));

        public Gemma4Body Block(BlockParts parts)
        {
            bool shares = Reads(parts.Index) is not null;
            DecoderConfig config = Config with { IntermediateSize = Config.IntermediateSize * (shares && _doubleWidth ? 2 : 1) };
            return new Gemma4Body
            {
                Main = Standard.Sandwich(parts, config, Attention(parts), Standard.GatedMlp(parts, config), 0),
                Sparse = _routing is null ? null : (Experts(parts, _routing), Norm("post_feedforward_layernorm_1"), Norm("pre_feedforward_layernorm_2"), Norm("post_feedforward_layernorm_2")),
                Own = OwnInput == 0 ? null : (
                    parts.Linear("per_layer_input_gate", OwnInput, Config.HiddenSize), parts.Linear("per_layer_projection", Config.HiddenSize, OwnInput),
                    Norm("post_per_layer_input_norm")),
                Activation = Config.Activation,
                Factor = parts.Tensor("layer_scalar", 1).ToArray()[0],
            };

            INorm Norm(string name) => parts.RmsNorm(name, Config.HiddenSize, Config.NormEpsilon);
        }

        // The last earlier layer of the same kind that has keys and values of its own.
        private int? Reads(int layer)
        {
            int first = Config.Layers - _shared;
            return layer < first ? null : Enumerable.Range(0, first).Last(earlier => _types[earlier] == _types[layer]);
        }

        private Attention Attention(BlockParts parts)
        {
            int layer = parts.Index, d = Config.HiddenSize;
            (int size, int keyHeads) = _heads[layer];
            bool local = _types[layer] == Local;
            int? reads = Reads(layer);
            AttentionShape shape = Standard.Shape(Config, local ? _window : 0) with { HeadSize = size, KeyValueHeads = keyHeads };
            LinearSlot query = parts.Linear("self_attn.q_proj", Config.Heads * size, d);
            LinearSlot? key = reads is null ? parts.Linear("self_attn.k_proj", keyHeads * size, d) : null;
            LinearSlot? value = reads is null && !(_valuesAreKeys && !local) ? parts.Linear("self_attn.v_proj", keyHeads * size, d) : null;
            return new Attention
            {
                Query = query,
                Key = key,
                Value = value,
                Output = parts.Linear("self_attn.o_proj", d, Config.Heads * size),
                Shape = shape,
                QueryNorm = parts.RmsNorm("self_attn.q_norm", size, Config.NormEpsilon),
                KeyNorm = reads is null ? parts.RmsNorm("self_attn.k_norm", size, Config.NormEpsilon) : null,
                ValueNorm = reads is null ? parts.UnweightedRmsNorm(size, Config.NormEpsilon) : null,
                Rope = parts.Rope(local ? _localRope : Config.Rope),
                Reads = reads,
                Publishes = Enumerable.Range(0, Config.Layers).Any(later => Reads(later) == layer) ? layer : null,
            };
        }

        private Experts Experts(BlockParts parts, Routing routing) => new()
        {
            Router = new Router
            {
                Norm = parts.UnweightedRmsNorm(Config.HiddenSize, Config.NormEpsilon),
                ColumnScale = parts.Tensor("router.scale", Config.HiddenSize),
                InputFactor = (float)(1 / Math.Sqrt(Config.HiddenSize)),
                Projection = parts.KeptLinear("router.proj", routing.Experts, Config.HiddenSize),
                Routing = routing with { ExpertScale = parts.Tensor("router.per_expert_scale", routing.Experts).ToArray() },
                Choice = parts.Choice(routing),
            },
            Items = new ExpertParts("experts", routing.Experts, Config.HiddenSize, _expertWidth) { Storage = ExpertStorage.Stacked, Activation = Config.Activation }.Make(parts),
        };
    }
}
