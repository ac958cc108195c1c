using LowRankQuant.LlamaCpp;

namespace LowRankQuant.Tests.Models.Export;

/// <summary>llama.cpp, where it is installed; loaded once for the process.</summary>
internal static class LlamaCppFixture
{
    /// <summary>Tests that call the engine run one after the other.</summary>
    public const string Collection = "llama.cpp";

    private static readonly Lazy<LlamaEngine?> Loaded = new(() => LlamaEngine.Find(TestData.RepositoryRoot) is { } folder ? LlamaEngine.Load(folder) : null);

    /// <summary>The engine; skips the calling test when it is absent.</summary>
    public static LlamaEngine Engine
    {
        get
        {
            Assert.SkipUnless(OperatingSystem.IsLinux() && System.Runtime.InteropServices.RuntimeInformation.OSArchitecture == System.Runtime.InteropServices.Architecture.X64,
                "llama.cpp is called on Linux x86-64 only.");
            Assert.SkipWhen(Loaded.Value is null,
                $"{LlamaEngine.Package} {LlamaEngine.Version} is not installed: run .ci/install-llamacpp, or set {LlamaEngine.Variable} to the folder of its libraries.");
            return Loaded.Value!;
        }
    }
}
