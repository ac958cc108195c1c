using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Linears;
using LowRankQuant.Models.Decoder.Recurrent;
using LowRankQuant.Models.Families.Gguf.Hybrid;
using LowRankQuant.Models.Families.Latent;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Autograd;

namespace LowRankQuant.Models.Families.Hybrid;

/// <summary>
/// Kimi Linear: three layers of the delta rule with a decay for every channel, then one of latent attention without rotation; experts by sigmoids with corrections beside one for every
/// token.
/// </summary>
internal sealed class KimiLinearFamily : IModelFamily
{
    private const string Full = "full_attention", Linear = "linear_attention";

    /// <inheritdoc/>
    public IReadOnlyList<string> ModelTypes => ["kimi_linear"];

    /// <inheritdoc/>
    public string Description => "Kimi Linear: delta rule by channels beside latent attention, experts";

    /// <inheritdoc/>
    IReadOnlyList<GgufArchitecture> IModelFamily.Gguf => [KimiLinearGguf.Form];

    /// <inheritdoc/>
    Architecture IModelFamily.Read(ConfigReader reader)
    {
        if (!reader.Flag("mla_use_nope", true)) throw reader.Unsupported("mla_use_nope", "false");
        if (reader.Text("moe_router_activation_func") is { } score and not "sigmoid") throw reader.Unsupported("moe_router_activation_func", score);
        ConfigReader linear = reader.Part("linear_attn_config");
        int heads = reader.Has("linear_num_heads") ? reader.Size("linear_num_heads") : linear.Size("num_heads"), size = reader.Has("linear_head_dim") ? reader.Size("linear_head_dim") : linear.Size("head_dim");
        int taps = reader.Has("linear_conv_kernel_dim") ? reader.Size("linear_conv_kernel_dim") : linear.Size("short_conv_kernel_size", 4);
        var shape = new DeltaRuleShape(1, 1, heads, heads, size, size, ChannelDecay: true);
        DecoderConfig? config = null;
        IReadOnlyList<string>? types = null;
        var model = new LatentModel(reader, new LatentRule
        {
            Common = new() { Epsilon = 1e-5f, Positions = reader.Size("model_max_length", 4096) },
            Dense = 1,
            Correction = "block_sparse_moe.gate.e_score_correction_bias",
            ExpertPrefix = "block_sparse_moe",
            ExpertNames = Moe.Numbered,
            SharedKey = "num_shared_experts",
            Rotates = false,
            OtherMixer = parts => types![parts.Index] == Full ? null : Delta(parts, config!, shape, taps),
        });
        config = model.Config;
        // The hub counts layers from 1.
        IReadOnlyList<int> full = linear.Ids("full_attn_layers");
        types = reader.Words("layer_types", config.Layers) ?? [.. Enumerable.Range(1, config.Layers).Select(layer => full.Contains(layer) ? Full : Linear)];
        if (types.FirstOrDefault(type => type is not (Full or Linear)) is { } other) throw reader.Unsupported("layer_types", other);
        return model.Build(reader, new Routing
        {
            Experts = model.Experts,
            Chosen = reader.Size("num_experts_per_token"),
            Score = RouterScore.Sigmoid,
            Groups = reader.Size("num_expert_group", 1),
            KeptGroups = reader.Size("topk_group", 1),
            Norm = reader.Flag("moe_renormalize", true) ? 1 : null,
            NormEpsilon = 1e-20,
            Factor = (float)(reader.Number("routed_scaling_factor") ?? 2.446),
        });
    }

    private static KimiDelta Delta(BlockParts parts, DecoderConfig config, DeltaRuleShape heads, int taps)
    {
        int d = config.HiddenSize, size = heads.KeySize, width = heads.ValueHeads * size;
        LinearSlot Projection(string name) => parts.Linear($"self_attn.{name}_proj", width, d);
        CausalConvolution Convolution(string name) => CausalConvolution.Load(parts, $"self_attn.{name}_conv1d", width, taps, bias: false);
        return new KimiDelta
        {
            Projections = (Projection("q"), Projection("k"), Projection("v")),
            Convolutions = (Convolution("q"), Convolution("k"), Convolution("v")),
            Decay = (parts.KeptLinear("self_attn.f_a_proj", size, d), parts.KeptLinear("self_attn.f_b_proj", width, size)),
            Gate = (parts.KeptLinear("self_attn.g_a_proj", size, d), parts.KeptLinear("self_attn.g_b_proj", width, size)),
            Strength = parts.KeptLinear("self_attn.b_proj", heads.ValueHeads, d),
            NegativeRate = parts.NegativeExponential("self_attn.A_log", size, 1, 1, heads.ValueHeads, 1),
            DecayBias = parts.Tensor("self_attn.dt_bias", width),
            Norm = parts.RmsNorm("self_attn.o_norm", size, config.NormEpsilon),
            Output = parts.Linear("self_attn.o_proj", d, width),
            Heads = heads,
        };
    }
}
