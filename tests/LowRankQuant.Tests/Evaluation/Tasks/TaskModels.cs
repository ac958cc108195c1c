using LowRankQuant.Evaluation.Tasks;
using LowRankQuant.Evaluation.Tasks.Requests;
using LowRankQuant.Models;
using LowRankQuant.Models.Checkpoints.Folders;
using LowRankQuant.Models.Checkpoints.Gguf;
using LowRankQuant.Models.Tokenizers;
using LowRankQuant.Models.Tokenizers.HuggingFace;
using LowRankQuant.Numerics.Cpu;
using LowRankQuant.Quantization.Calibration;

namespace LowRankQuant.Tests.Evaluation.Tasks;

/// <summary>A model of the references with the tokenizer they were made with: tokenizer.json taken literally.</summary>
internal sealed class TaskModels : IDisposable
{
    public const string TinyStories = "tinystories-656k";
    public const string SmolLM2 = "smollm2-135m";

    public TaskModels(string name)
    {
        Model = new CausalModel(name == SmolLM2 ? SmolLM2Checkpoint() : HuggingFaceCheckpoint.Open(TestData.Path("models", name)), Device);
        Tokenizer = TokenizerJson.Load(Path.Combine(TestData.Path("models", name), "tokenizer.json"));
    }

    public CpuDevice Device { get; } = new();

    public CausalModel Model { get; }

    public ITokenizer Tokenizer { get; }

    /// <summary>The encoder of a convention as golden/eval names it.</summary>
    public ItemEncoder Encoder(string convention)
    {
        Harness harness = GoldenItems.HarnessOf(convention);
        var pairs = new PairEncoder(Tokenizer, Model.Config, harness, convention == "nobos" ? AddBos.No : AddBos.Auto);
        int positions = harness == Harness.Hendrycks ? Math.Min(2048, Model.Config.MaxPositions) : Model.Config.MaxPositions;
        return new ItemEncoder(Tokenizer, pairs, harness, positions);
    }

    public void Dispose()
    {
        Model.Dispose();
        Device.Dispose();
    }

    private static AlteredCheckpoint SmolLM2Checkpoint() =>
        new(GgufCheckpoint.Open(TestData.Path("models", SmolLM2, "SmolLM2-135M-Instruct.Q4_1.gguf")), AlteredCheckpoint.RoundToBFloat16);
}
