// SPDX-License-Identifier: GPL-3.0-or-later
//
// Flamenco job type: a folder of photos to heads. Put it into the manager's `scripts/` folder. docs/farm.md tells more.
//
// A task is a share of the photos. It may be killed and tried again: `--resume` goes on where it was.

const JOB_TYPE = {
    label: "DECA Import",
    description: "Photos to rigged heads: a share of the photos in each task, and a report of all at the end",
    settings: [
        { key: "photos", type: "string", subtype: "dir_path", required: true, visible: "submission",
          description: "Folder of the photos, as the workers see it" },
        { key: "out", type: "string", subtype: "dir_path", required: true, visible: "submission",
          description: "Folder for the heads" },
        { key: "shares", type: "int32", default: 10, propargs: {min: 1, max: 100000}, visible: "submission",
          description: "Number of tasks. A share of a few hundred photos takes some minutes" },
        { key: "format", type: "string", default: "blend", visible: "submission",
          description: "Formats, as blend,glb" },
        { key: "jobs", type: "int32", default: 2, propargs: {min: 1, max: 256}, visible: "submission",
          description: "Photos at the same time on each machine: one for each processor, and 1.6 GB of memory each" },
        { key: "recursive", type: "bool", default: true, visible: "submission",
          description: "With the photos of sub-folders" },
        { key: "one_person", type: "bool", default: false, visible: "submission",
          description: "The photos of each folder are of one person and give one head" },
        { key: "deca", type: "string", default: "deca", required: true, visible: "submission",
          description: "The command deca, as the workers find it" },
        { key: "catalogue", type: "string", default: "catalogue", visible: "submission",
          description: "Name of the asset library of all heads; empty for none" },
    ],
};

function compileJob(job) {
    const settings = job.settings;
    if (settings.shares < 1) {
        throw new Error("There must be one share at least");
    }
    const merge = author.Task("merge", "misc");
    for (let number = 1; number <= settings.shares; number++) {
        const share = author.Task(`import-${number}-of-${settings.shares}`, "misc");
        share.addCommand(author.Command("exec", { exe: settings.deca, args: importArguments(settings, number) }));
        job.addTask(share);
        merge.addDependency(share);
    }
    merge.addCommand(author.Command("exec", { exe: settings.deca, args: mergeArguments(settings) }));
    job.addTask(merge);
}

// Photos that have failed are in the report; the task has not failed for them, and would not do better again.
function importArguments(settings, number) {
    const args = ["import", settings.photos, "--out", settings.out, "--chunk", `${number}/${settings.shares}`,
                  "--format", settings.format, "--jobs", String(settings.jobs), "--threads", "1",
                  "--resume", "--exit-zero", "--progress", "json"];
    if (settings.recursive) args.push("--recursive");
    if (settings.one_person) args.push("--one-person");
    return args;
}

function mergeArguments(settings) {
    const args = ["merge", settings.out, "--exit-zero"];
    if (settings.catalogue) args.push("--catalogue", settings.catalogue);
    return args;
}
