using System.Text.Json;
using LowRankQuant.Formats;
using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Quantization.Tuning;

namespace LowRankQuant.Quantization.Pipeline;

/// <summary>
/// The working files of a run, under <c>.lrq</c> in the output folder: the fingerprint, one file per finished block, the calibration ids and the log.
/// A block's file appears by renaming, after its report: a block with a file is finished.
/// </summary>
public sealed class RunFolder
{
    /// <summary>Folder of working files within an output folder.</summary>
    public const string WorkName = ".lrq";

    /// <summary>The report in an output folder; it is written last.</summary>
    public const string ReportName = "report.json";

    private const string TuningReportName = "tuning.json";

    /// <summary>The recipe in an output folder.</summary>
    public const string RecipeName = "recipe.json";

    private RunFolder(string output) => Output = output;

    /// <summary>The output folder.</summary>
    public string Output { get; }

    /// <summary>Folder of the working files.</summary>
    public string Work => Path.Combine(Output, WorkName);

    /// <summary>The log, appended to by every session of the run.</summary>
    public string LogFile => Path.Combine(Work, "run.log");

    /// <summary>Opens the folder for a run, or continues the run it holds.</summary>
    /// <param name="output">The output folder; made when absent.</param>
    /// <param name="fingerprint">Identity of the run.</param>
    /// <param name="overwrite">Delete whatever another run left.</param>
    /// <exception cref="RunFolderException">The folder holds another run, or files that no run made.</exception>
    public static RunFolder Open(string output, RunFingerprint fingerprint, bool overwrite)
    {
        var folder = new RunFolder(Path.GetFullPath(output));
        if (File.Exists(folder.Output)) throw new RunFolderException($"{folder.Output} is a file; --out names a folder.");
        string fingerprintFile = Path.Combine(folder.Work, "fingerprint.json");
        if (Directory.Exists(folder.Output) && Directory.EnumerateFileSystemEntries(folder.Output).Any())
        {
            RunFingerprint? found = RunFingerprint.TryRead(fingerprintFile);
            if (found is not null && found.Equals(fingerprint)) return folder;
            // A run that died before it had a fingerprint left nothing but an empty working folder; that of a finished run may have been deleted.
            if (found is null && !folder.HoldsOnlyWork() && !File.Exists(Path.Combine(folder.Output, RecipeName)))
                throw new RunFolderException($"{folder.Output} is not empty and holds no run; choose another --out, or empty the folder yourself.");
            if (!overwrite && (found is not null || !folder.HoldsOnlyWork()))
            {
                throw new RunFolderException(
                    $"{folder.Output} holds another run ({found?.DifferenceTo(fingerprint) ?? "it cannot be said which"}); " +
                    "choose another --out, or give --overwrite to delete it.");
            }
            folder.Clear();
        }
        Directory.CreateDirectory(folder.BlocksFolder);
        fingerprint.Write(fingerprintFile);
        return folder;
    }

    /// <summary>Whether a block is finished.</summary>
    public bool HasBlock(int index) => File.Exists(BlockFile(index)) && File.Exists(ReportFile(index));

    /// <summary>Path of a finished block's tensors.</summary>
    public string BlockFile(int index) => Path.Combine(BlocksFolder, $"block-{index:D5}.safetensors");

    /// <summary>Path of a block's tensors as the result takes them: tuned where the model was tuned, else as the method made them.</summary>
    public string ResultFile(int index) => IsTuned ? Path.Combine(TunedFolder, Path.GetFileName(BlockFile(index))) : BlockFile(index);

    /// <summary>What tuning did, where it is finished; else null.</summary>
    public TuningReport? ReadTuning() => IsTuned ? JsonSerializer.Deserialize(File.ReadAllBytes(Path.Combine(TunedFolder, TuningReportName)), PipelineJson.Default.TuningReport) : null;

    /// <summary>Stores the tuned blocks: aside first, so that they are there all at once or not at all.</summary>
    /// <param name="report">What tuning did.</param>
    /// <param name="tensors">The tensors of a block.</param>
    /// <param name="blocks">Number of blocks.</param>
    public void WriteTuned(TuningReport report, Func<int, IReadOnlyList<PendingTensor>> tensors, int blocks)
    {
        string aside = TunedFolder + ".partial";
        if (Directory.Exists(aside)) Directory.Delete(aside, recursive: true);
        Directory.CreateDirectory(aside);
        for (int i = 0; i < blocks; i++) SafetensorsWriter.Write(Path.Combine(aside, Path.GetFileName(BlockFile(i))), tensors(i), SafetensorsWriter.PyTorchMetadata);
        AtomicFile.WriteAllBytes(Path.Combine(aside, TuningReportName), JsonSerializer.SerializeToUtf8Bytes(report, PipelineJson.Default.TuningReport));
        Directory.Move(aside, TunedFolder);
    }

    /// <summary>Stores a finished block: its report, then its tensors, each by writing aside and renaming.</summary>
    public void WriteBlock(int index, IReadOnlyList<PendingTensor> tensors, BlockReport report)
    {
        AtomicFile.WriteAllBytes(ReportFile(index), JsonSerializer.SerializeToUtf8Bytes(report, PipelineJson.Default.BlockReport));
        SafetensorsWriter.Write(BlockFile(index), tensors, SafetensorsWriter.PyTorchMetadata);
    }

    /// <summary>The report of a finished block.</summary>
    public BlockReport ReadReport(int index) =>
        JsonSerializer.Deserialize(File.ReadAllBytes(ReportFile(index)), PipelineJson.Default.BlockReport)
        ?? throw new RunFolderException($"{ReportFile(index)} is empty; delete {BlockFile(index)} to compute the block again.");

    /// <summary>Deletes the block files once the result holds their tensors.</summary>
    public void RemoveBlocks()
    {
        if (Directory.Exists(BlocksFolder)) Directory.Delete(BlocksFolder, recursive: true);
        if (IsTuned) Directory.Delete(TunedFolder, recursive: true);
        File.Delete(TuningStateFile);
    }

    /// <summary>Where tuning stands while it goes on.</summary>
    public string TuningStateFile => Path.Combine(Work, "tuning.safetensors");

    private bool IsTuned => Directory.Exists(TunedFolder);

    private string TunedFolder => Path.Combine(Work, "tuned");

    private string BlocksFolder => Path.Combine(Work, "blocks");

    private string ReportFile(int index) => Path.Combine(BlocksFolder, $"block-{index:D5}.json");

    private bool HoldsOnlyWork() =>
        Directory.EnumerateFileSystemEntries(Output).All(entry => Path.GetFileName(entry) == WorkName) &&
        (!Directory.Exists(BlocksFolder) || !Directory.EnumerateFileSystemEntries(BlocksFolder).Any());

    // In an order that can be interrupted: the report goes first, so that what is left does not pass for a finished run, and the fingerprint last, so
    // that it still passes for a run.
    private void Clear()
    {
        File.Delete(Path.Combine(Output, ReportName));
        foreach (string file in Directory.EnumerateFiles(Output)) File.Delete(file);
        foreach (string folder in Directory.EnumerateDirectories(Output))
        {
            if (Path.GetFileName(folder) != WorkName) Directory.Delete(folder, recursive: true);
        }
        RemoveBlocks();
        if (Directory.Exists(Work)) Directory.Delete(Work, recursive: true);
    }
}
