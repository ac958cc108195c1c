using System.Text;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Layouts;
using LowRankQuant.Models.Decoder.Positions;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization;
using LowRankQuant.Quantization.Methods;
using LowRankQuant.Quantization.Options;
using LowRankQuant.Quantization.Recipes;
using LowRankQuant.Quantization.Recipes.Files;
using LowRankQuant.Quantization.Recipes.Resolving;

namespace LowRankQuant.Fuzz.Targets;

/// <summary>
/// The recipe of a quantization, in YAML or JSON, resolved for a small model. One that is sound is written in both forms, and each must give the same recipe again;
/// one that is not must say why.
/// </summary>
internal sealed class YamlTarget : FuzzTarget
{
    // A sentence for each problem, and inputs are some kilobytes.
    private const int LongestRefusal = 1 << 20;

    private static readonly DecoderConfig Config = new()
    {
        ModelType = "llama",
        HiddenSize = 256,
        Layers = 3,
        Heads = 4,
        KeyValueHeads = 2,
        HeadSize = 64,
        IntermediateSize = 512,
        VocabularySize = 320,
        MaxPositions = 2048,
        NormEpsilon = 1e-5f,
        Activation = Activation.Silu,
        Rope = new RopeConfig { Theta = 10000, RotatedSize = 64 },
        TiedEmbeddings = false,
    };

    // Made when they are used: instrumented code cannot run before the fuzzer has given it its memory.
    private readonly Lazy<ModelLayout> _layout = new(() => ModelLayout.OfBlock(
        [
            new("self_attn.q_proj", 256, 256), new("self_attn.k_proj", 128, 256), new("self_attn.v_proj", 128, 256), new("self_attn.o_proj", 256, 256),
            new("mlp.gate_proj", 512, 256), new("mlp.up_proj", 512, 256), new("mlp.down_proj", 256, 512),
        ],
        Config.Layers, new VocabularyShape("model.embed_tokens", "lm_head", Config.VocabularySize, Config.HiddenSize, Tied: false)));

    public override string Name => "yaml";

    protected override void Read(byte[] input, Scratch scratch)
    {
        try
        {
            RecipeTexts texts = Resolve(Encoding.UTF8.GetString(input), out Recipe recipe);
            string json = RecipeFile.Text(recipe, texts);
            foreach (string text in (string[])[json, RecipeFile.Yaml(recipe, texts)])
            {
                RecipeTexts again = Again(text, out Recipe same);
                if (RecipeFile.Text(same, again) != json) throw new InvalidOperationException($"Another recipe came back from:\n{text}\nIt is:\n{RecipeFile.Text(same, again)}");
            }
        }
        catch (RecipeException refusal)
        {
            if (refusal.Problems.Count == 0 || refusal.Problems.Any(string.IsNullOrWhiteSpace)) throw new InvalidOperationException("A refusal says nothing.", refusal);
            if (refusal.Message.Length > LongestRefusal) throw new InvalidOperationException($"A refusal has {refusal.Message.Length} characters.", refusal);
            throw;
        }
    }

    private RecipeTexts Again(string text, out Recipe recipe)
    {
        try
        {
            return Resolve(text, out recipe);
        }
        catch (RecipeException refusal)
        {
            throw new InvalidOperationException($"What was written is refused:\n{text}", refusal);
        }
    }

    private RecipeTexts Resolve(string text, out Recipe recipe)
    {
        MethodCatalog catalog = BuiltInMethods.Catalog;
        RecipeDocument document = RecipeReader.Read(text, "recipe.yaml", catalog);
        recipe = RecipeResolver.Resolve(catalog, document.Request with { HasCalibration = document.Texts.Calibration.Count > 0 }, Config, _layout.Value, ScaleType.Float16).Recipe;
        return document.Texts;
    }
}
