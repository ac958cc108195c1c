using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Bodies;
using LowRankQuant.Models.Decoder.Layouts;
using LowRankQuant.Models.Decoder.Mixers;

namespace LowRankQuant.Models.Families.Gpt;

/// <summary>
/// OPT: learned positions from row 2 on, LayerNorm with biases, ReLU, tied. The layer's <c>final_layer_norm</c> is the norm in front of its MLP; with
/// <c>do_layer_norm_before</c> false (350m) both norms follow the sums and there is none at the end; <c>word_embed_proj_dim</c> makes embedding and head narrower.
/// </summary>
internal sealed class OptFamily : IModelFamily
{
    private const int PositionOffset = 2;

    /// <inheritdoc/>
    public IReadOnlyList<string> ModelTypes => ["opt"];

    /// <inheritdoc/>
    public string Description => "OPT 125M to 66B, Galactica: learned positions, ReLU, biases";

    /// <inheritdoc/>
    Architecture IModelFamily.Read(ConfigReader reader)
    {
        DecoderConfig config = reader.Decoder(new FamilyDefaults { Tied = true, Activation = "relu", Rope = null }) with { NormEpsilon = 1e-5f };
        bool before = reader.Flag("do_layer_norm_before", true);
        BiasRule bias = new(null, reader.Flag("enable_bias", true));
        int width = reader.Size("word_embed_proj_dim", config.HiddenSize), d = config.HiddenSize;
        if (!reader.Flag("layer_norm_elementwise_affine", true)) throw reader.Unsupported("layer_norm_elementwise_affine", "false");
        return new Architecture
        {
            Config = config,
            Base = "model.decoder.",
            BaseNames = ["embed_tokens", "embed_positions", "layers", "final_layer_norm", "project_in", "project_out"],
            Prefixes = [("decoder.", "model.decoder.")],
            EmbeddingName = "model.decoder.embed_tokens.weight",
            Blocks = "model.decoder.layers.",
            EmbeddingWidth = width,
            Embedding = (parts, table) => new InputEmbedding
            {
                Table = table,
                HiddenSize = d,
                Projection = width == d ? null : parts.Tensor("model.decoder.project_in.weight", d, width),
                Positions = parts.Tensor("model.decoder.embed_positions.weight", config.MaxPositions + PositionOffset, d),
                PositionOffset = PositionOffset,
                Parts = parts,
            },
            Block = parts => new SequentialBody
            {
                Mixer = Attention(parts, config, bias),
                Mlp = Standard.PlainMlp(parts, config, "fc1", "fc2", bias),
                MixerNorm = parts.LayerNorm("self_attn_layer_norm", d, config.NormEpsilon),
                MlpNorm = parts.LayerNorm("final_layer_norm", d, config.NormEpsilon),
                NormsOnStream = !before,
            },
            FinalNorm = before && !reader.Flag("_remove_final_layer_norm", false)
                ? parts => parts.LayerNorm("model.decoder.final_layer_norm", d, config.NormEpsilon)
                : null,
            Head = (parts, norm, weight) => new OutputHead(norm, weight, parts)
            {
                Projection = width == d ? null : parts.Tensor("model.decoder.project_out.weight", width, d),
            },
        };
    }

    private static Attention Attention(BlockParts parts, DecoderConfig config, BiasRule bias)
    {
        int d = config.HiddenSize;
        return new Attention
        {
            Query = parts.Linear("self_attn.q_proj", d, d, bias),
            Key = parts.Linear("self_attn.k_proj", d, d, bias),
            Value = parts.Linear("self_attn.v_proj", d, d, bias),
            Output = parts.Linear("self_attn.out_proj", d, d, bias),
            Shape = Standard.Shape(config),
        };
    }
}
